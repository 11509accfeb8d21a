"""What the doctor says of what a job saw: each thing that can be wrong on a node, without a node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farnode.gateway.config import GatewayConfig
from farnode.gateway.doctor.report import findings
from farnode.gateway.doctor.trial import Outcome, Wanted
from farnode.model.allocation import AllocationState, GpuRequest, Phase
from farnode.model.offer import Offer

CONFIG = GatewayConfig.model_validate({"site": "lab", "provider": "slurm"})
WELL: dict[str, Any] = {
    "node": "n1",
    "python": "/usr/bin/python3",
    "version": "3.9.2",
    "dialled": "",
    "runtimes": {"apptainer": "apptainer version 1.4.5", "process": "Linux 6"},
    "namespaces": "",
    "sif": "",
    "devices": ["2"],
    "variables": {"CUDA_VISIBLE_DEVICES": "2"},
}
OUTCOME = Outcome(Wanted(Offer("main", 16, 1 << 34)), asked=1000.0, answered=1000.2, answered_there=1000.1, report=WELL)
GPU = Wanted(Offer("main", 16, 1 << 34), GpuRequest("nvidia.com", "a100", 1))


def bad(outcome: Outcome, config: GatewayConfig = CONFIG) -> dict[str, tuple[str, str]]:
    return {each.name: (each.state, each.words) for each in findings(config, outcome) if each.state != "ok"}


def test_nothing_is_wrong() -> None:
    assert bad(OUTCOME) == {}
    assert bad(replace(OUTCOME, wanted=GPU)) == {}


@pytest.mark.parametrize(
    ("seen", "name", "state", "words"),
    [
        ({"broken": "ImportError('x')"}, "python", "fail", "cannot be loaded by it: ImportError('x')"),
        ({"python": "/usr/bin/python3.12"}, "python", "warn", "/usr/bin/python3 cannot be used there"),
        ({"dialled": "a:1 cannot be reached: refused"}, "runners' address", "fail", "a:1 cannot be reached"),
        ({"runtimes": {}, "problems": {"apptainer": "no"}}, "runtimes", "fail", "none works there: apptainer: no; "),
        (
            {"runtimes": {"process": "Linux"}, "problems": {"apptainer": "there is no apptainer on PATH"}},
            "runtimes",
            "warn",
            "process works there, not apptainer: there is no apptainer on PATH",
        ),
        ({"namespaces": "making one: not permitted"}, "user namespaces", "warn", "not permitted"),
        ({"sif": "/dev/fuse cannot be opened"}, "SIF files", "warn", "so they cannot be mounted"),
    ],
)
def test_a_node_that_lacks_something(seen: dict[str, Any], name: str, state: str, words: str) -> None:
    found = bad(replace(OUTCOME, report={**WELL, **seen}))
    assert list(found) == [name]
    assert (found[name][0], words in found[name][1]) == (state, True)


def test_sif_files_matter_only_where_they_are_used() -> None:
    config = GatewayConfig.model_validate({"site": "lab", "provider": "slurm", "images": {"format": "directory"}})
    assert bad(replace(OUTCOME, report={**WELL, "sif": "there is no squashfuse"}), config) == {}


def test_clocks_that_differ_by_more_than_can_be_measurement() -> None:
    assert bad(replace(OUTCOME, answered_there=1060.1))["clock"] == ("warn", "the node's is 60.0 s ahead (±0.1 s)")
    slow = replace(OUTCOME, answered=1030.0, answered_there=1001.0)
    assert list(bad(slow)) == ["shared spool"], "14 s off may be 15 s of the file system"


def test_a_spool_that_is_shared_one_way_only() -> None:
    assert bad(replace(OUTCOME, answered=0.0))["shared spool"][0] == "fail"


@pytest.mark.parametrize(("devices", "state"), [([], "fail"), (["0", "1"], "warn")])
def test_gpus_that_are_not_what_was_asked_for(devices: list[str], state: str) -> None:
    assert bad(replace(OUTCOME, wanted=GPU, report={**WELL, "devices": devices}))["GPUs"][0] == state


def test_a_job_that_came_to_nothing() -> None:
    nothing = replace(OUTCOME, report=None, answered=0.0)
    queued = AllocationState(Phase.QUEUED, reason="Resources", words="it waits for nodes")
    assert bad(replace(nothing, refused="no such account"))["job"] == ("fail", "no such account")
    assert bad(replace(nothing, state=queued))["job"][0] == "warn"
    begun = replace(nothing, state=AllocationState(Phase.ENDED, reason="TimeLimit"), begun={"node": "n1"})
    assert "began on node n1, and then nothing more came" in bad(begun)["job"][1]
