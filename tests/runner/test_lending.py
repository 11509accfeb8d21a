"""GPUs and ports of one runner under hundreds of pods that come and go: each is one pod's at a time, and what an ended
pod had can be had by the next one as soon as its end is told."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.runner.limits.devices import Devices

from .stage import Stage, play, shell

GPUS = [f"g{number}" for number in range(8)]
PORTS = list(range(50100, 50108))
PODS = 300


class Feeder:
    """Starts pods as a gateway does: by what it was told is free."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.random = random.Random(7)
        self.asked: dict[str, tuple[int, int]] = {}
        self.started = self.heard = 0

    def feed(self) -> None:
        while self.started < PODS:
            gpus = self.random.choice((0, 1, 1, 2, 5))
            ports = sorted(set(PORTS) - {port for _, port in self.asked.values()})
            if not ports or sum(count for count, _ in self.asked.values()) + gpus > len(GPUS):
                return
            uid, port = f"u{self.started}", self.random.choice(ports)
            self.asked[uid] = gpus, port
            container = shell("test $(echo $GPUS | tr , '\\n' | grep -c g) = $WANT", gpus=gpus)
            container["env"] = [{"name": "WANT", "value": str(gpus)}]
            self.stage.start(uid=uid, containers=[container], ports=[port])
            self.started += 1

    def hear(self) -> None:
        """What was told since the last time."""
        lent: dict[str, str] = {}
        for event in self.stage.events[self.heard :]:
            self.heard += 1
            if event["ended"]:
                assert (event["phase"], len(event["gpus"])) == ("Succeeded", self.asked[event["uid"]][0]), event
                del self.asked[event["uid"]]
        for pod in self.stage.roster.alive:
            for gpu in pod.gpus:
                assert lent.setdefault(gpu, pod.order["uid"]) == pod.order["uid"]
        assert lent.keys() <= set(GPUS)


def test_hundreds_of_pods_share_gpus_and_ports(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        feeder = Feeder(stage)
        while feeder.started < PODS or feeder.asked:
            feeder.feed()
            seen = len(stage.events)
            await stage.until(lambda event: True, after=seen)
            feeder.hear()

    play(tmp_path, scenario, GPUS)


@given(st.lists(st.integers(0, 6)), st.data())
def test_a_device_is_never_lent_twice(counts: list[int], data: Any) -> None:
    devices = Devices(GPUS)
    lent: list[list[str]] = []
    for count in counts:
        free = len(GPUS) - sum(map(len, lent))
        if count > free:
            with pytest.raises(ValueError, match=f"Requested: {count}, Available: {free}"):
                devices.take(count)
            if lent:
                devices.give_back(lent.pop(data.draw(st.integers(0, len(lent) - 1))))
            continue
        lent.append(devices.take(count))
        assert len(lent[-1]) == count
        assert len({name for names in lent for name in names}) == sum(map(len, lent))
