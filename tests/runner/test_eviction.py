"""Pods that fill the node's disk: the kubelet's rules and words."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.limits.disk import measured
from farnode.runner.limits.eviction import Layer, Stored, excesses, pod_limit, quantity, stored_by

from .stage import Stage, main_state, play, shell

MIB = 2**20
FILL = "dd if=/dev/zero of=%s bs=1M count=3 2>&1; echo full; sleep 600"


async def evicted(stage: Stage) -> Any:
    await stage.printed("full")
    for _ in range(20):
        stage.clock.advance(1.0)
        await asyncio.sleep(0.05)
    return await stage.ended()


@pytest.mark.parametrize("medium", ["", "Memory"])
def test_an_empty_dir_beyond_its_size_limit(tmp_path: Path, medium: str) -> None:
    async def scenario(stage: Stage) -> None:
        main = shell(FILL % "$V_mnt/file", mounts=[{"volume": "cache", "path": "/mnt"}])
        volume = {"name": "cache", "kind": "empty", "medium": medium, "size_limit": MIB}
        stage.start(containers=[main], volumes=[volume])
        event = await evicted(stage)
        assert (event["phase"], event["reason"]) == ("Failed", "Evicted")
        assert event["message"] == 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '

    play(tmp_path, scenario)


def test_a_container_beyond_its_limit_with_what_it_wrote(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        main = shell(FILL % "file", working_dir=None, ephemeral_limit=2 * MIB)
        other = shell("sleep 600", "other", ephemeral_limit=10 * MIB)
        stage.start(containers=[main, other])
        event = await evicted(stage)
        assert event["message"] == 'Container main exceeded its local ephemeral storage limit "2Mi". '
        assert main_state(event, 1)["terminated"]["exitCode"] in (137, 143)

    play(tmp_path, scenario)


def test_logs_count(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo full; sleep 600"
        stage.start(
            containers=[shell(script, ephemeral_limit=2 * MIB), shell("sleep 600", "b", ephemeral_limit=9 * MIB)]
        )
        event = await evicted(stage)
        assert event["message"] == 'Container main exceeded its local ephemeral storage limit "2Mi". '

    play(tmp_path, scenario)


def test_a_pod_beyond_what_its_containers_may_have_together(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        main = shell(FILL % "$V_mnt/file", ephemeral_limit=MIB, mounts=[{"volume": "v", "path": "/mnt"}])
        other = shell("sleep 600", "other", ephemeral_limit=MIB)
        stage.start(containers=[main, other], volumes=[{"name": "v", "kind": "empty"}])
        event = await evicted(stage)
        words = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
        assert (event["reason"], event["message"]) == ("Evicted", words)

    play(tmp_path, scenario)


def test_within_the_limits_nothing_happens(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        main = shell(FILL % "file", ephemeral_limit=5 * MIB)
        stage.start(containers=[main])
        await stage.printed("full")
        for _ in range(3):
            stage.clock.advance(10.0)
            await asyncio.sleep(0.05)
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        assert list(excesses(stored_by(pod))) == []
        assert "running" in stage.now()["containers"][0]["state"]

    play(tmp_path, scenario)


def test_the_volume_comes_before_the_pod_and_that_before_the_container(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v/file").write_bytes(b"x" * 2 * MIB)
    containers: Any = [{"name": "main", "ephemeral_limit": MIB}]
    volumes: Any = [{"name": "v", "kind": "empty", "size_limit": MIB}]
    stored = Stored(
        {"containers": containers, "volumes": volumes}, (Layer("main", (), 3 * MIB),), {"v": str(tmp_path / "v")}
    )
    assert [words.split(" ", 1)[0] for words in excesses(stored)] == ["Usage", "Pod", "Container"]


def test_blocks_are_counted_once_and_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    empty = measured(str(tmp_path))
    (tmp_path / "sub/file").write_bytes(b"x" * MIB)
    os.link(tmp_path / "sub/file", tmp_path / "again")
    (tmp_path / "root").symlink_to("/")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert MIB <= measured(str(tmp_path)) - empty < 2 * MIB
    assert measured(str(tmp_path / "missing")) == 0


def test_sidecars_run_beside_what_comes_after() -> None:
    """Kubernetes, "Sidecar Containers", resource sharing within containers."""
    inits: Any = [
        {"name": "a", "ephemeral_limit": 7},
        {"name": "s", "ephemeral_limit": 2, "sidecar": True},
        {"name": "b", "ephemeral_limit": 9},
    ]
    containers: Any = [{"name": "c", "ephemeral_limit": 3}, {"name": "d"}]
    assert pod_limit({"init_containers": inits, "containers": containers}) == 11
    assert pod_limit({"containers": containers}) == 3
    assert pod_limit({"containers": [{"name": "d"}]}) == 0


@pytest.mark.parametrize(("amount", "text"), [(2**20, "1Mi"), (1000, "1000"), (3 << 29, "1536Mi"), (5 << 40, "5Ti")])
def test_quantities_are_written_as_kubernetes_does(amount: int, text: str) -> None:
    assert quantity(amount) == text
