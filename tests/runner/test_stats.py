"""What containers use, as the runner tells it. The vendors' tools are programs of the tests on PATH: no machine of ours
has their devices."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.limits import accelerators
from farnode.runner.limits.accelerators import amd, nvidia
from farnode.runner.limits.stats import Stats

from .gateway import FakeGateway, everything, order, running
from .stage import Stage, play, shell

MIB = 2**20
BUSY = (
    "import os, time\n"
    "held = b'x' * (50 << 20)\n"
    "open('file', 'wb').write(b'x' * (3 << 20))\n"
    "if not os.fork(): time.sleep(600)\n"
    "while time.process_time() < 0.3: pass\n"
    "print('busy', flush=True); time.sleep(600)"
)
CSV = "0, GPU-1f2e, 1024, 81920, 37\n1, GPU-2e3d, [N/A], 81920, [N/A]\n"


def tool(directory: Path, name: str, script: str) -> None:
    path = directory / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho $* >> {directory}/asked\n{script}\n")
    path.chmod(0o755)


def stats_of(stage: Stage, directory: Path) -> Stats:
    host = stage.roster._host
    return Stats(host, {"PATH": f"{directory}/bin:/usr/bin:/bin"})


def test_a_container_is_measured(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        main = {"name": "main", "command": [sys.executable, "-S", "-c", BUSY]}
        stage.start(containers=[main, shell("echo up; exec sleep 600", "idle")])
        stats = stats_of(stage, tmp_path)
        await stage.printed("busy")
        await stage.printed("up", "idle")
        (pod,) = (await stats.now(stage.roster.alive))["pods"]
        busy, idle = pod["containers"]
        assert (pod["uid"], pod["attempt"], busy["name"], idle["name"]) == ("u1", 1, "main", "idle")
        assert 0.25 <= busy["cpu"] < 5.0
        assert 50 * MIB <= busy["memory"] <= busy["memory_peak"] < 150 * MIB
        assert busy["processes"] == 2
        assert 3 * MIB <= busy["storage"] < 4 * MIB
        assert busy["started_at"] == stage.clock.time()
        assert (idle["processes"], "gpus" in busy) == (1, False)
        assert idle["memory"] < 5 * MIB
        assert idle["storage"] < MIB

    play(tmp_path, scenario)


def test_devices_are_told_of_as_the_batch_system_names_them(tmp_path: Path) -> None:
    tool(tmp_path, "nvidia-smi", f"printf '%s' '{CSV}'")

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("sleep 600", gpus=2), shell("sleep 600", "without")], gpus=2)
        await stage.until(lambda event: event["phase"] == "Running")
        stats = stats_of(stage, tmp_path)
        for _ in range(2):
            (pod,) = (await stats.now(stage.roster.alive))["pods"]
            main, without = pod["containers"]
            assert main["gpus"] == [
                {"device": "0", "memory": 1024 * MIB, "memory_total": 81920 * MIB, "utilization": 37.0},
                {"device": "GPU-2e3d", "memory_total": 81920 * MIB},
            ]
            assert "gpus" not in without
        assert len((tmp_path / "asked").read_text().splitlines()) == 1
        stage.clock.advance(accelerators.FRESH)
        await stats.now(stage.roster.alive)
        assert len((tmp_path / "asked").read_text().splitlines()) == 2

    play(tmp_path, scenario, gpus=["0", "GPU-2e3d"])


@pytest.mark.parametrize("script", ["exit 3", "echo No devices were found", "head -c 1000 /dev/urandom", "sleep 600"])
def test_a_tool_that_fails_or_hangs_is_no_error(tmp_path: Path, script: str) -> None:
    tool(tmp_path, "nvidia-smi", script)

    async def scenario(stage: Stage) -> None:
        stage.start(containers=[shell("sleep 600", gpus=1)], gpus=1)
        await stage.until(lambda event: event["phase"] == "Running")
        asking = asyncio.ensure_future(stats_of(stage, tmp_path).now(stage.roster.alive))
        await stage.happens(lambda: (tmp_path / "asked").exists())
        stage.clock.advance(accelerators.PATIENCE)
        (pod,) = (await asking)["pods"]
        assert pod["containers"][0]["gpus"] == [{"device": "0"}]

    play(tmp_path, scenario, gpus=["0"])


def test_amds_tool_speaks_json() -> None:
    card = {"GPU use (%)": "3", "VRAM Total Memory (B)": "68702699520", "VRAM Total Used Memory (B)": "10960896"}
    expected = {"1": {"memory": 10960896, "memory_total": 68702699520, "utilization": 3.0}}
    assert amd(json.dumps({"card1": card})) == expected


def test_a_line_of_nvidias_tool_is_known_by_number_and_name() -> None:
    known = nvidia(CSV)
    assert known["0"] == known["GPU-1f2e"]
    assert known["1"] == {"memory_total": 81920 * MIB}


def test_over_the_wire(tmp_path: Path) -> None:
    async def scenario() -> None:
        gateway = FakeGateway(tmp_path)
        async with running(gateway):
            await gateway.start(order("sleep", "600"))
            await gateway.event(lambda event: event["phase"] == "Running")
            document: Any = json.loads(await everything(await gateway.open("stats", uid="")))
            assert [pod["uid"] for pod in document["pods"]] == ["u1"]
            assert document["pods"][0]["containers"][0]["processes"] == 1
            assert document["at"] > 1e9

    asyncio.run(scenario())
