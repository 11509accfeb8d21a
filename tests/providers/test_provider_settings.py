"""A wrong key of a site's settings is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.providers.local.settings import LocalSettings
from farnode.providers.slurm.settings import SlurmSettings


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"partition": "main"}, "partition"),
        ({"partitions": "main"}, "partitions"),
        ({"partitions": [1]}, "partitions"),
        ({"account": 7}, "account"),
        ({"qos": ""}, "qos"),
        ({"gpus": ["a100"]}, "gpus"),
        ({"gpus": {"a100": "nvidia"}}, "gpus.a100"),
        ({"gpuMemory": {"a100": "much"}}, "gpuMemory.a100"),
        ({"gpuMemory": {"a100": -1}}, "gpuMemory.a100"),
        ({"commandTimeout": "soon"}, "commandTimeout"),
        ({"callsPerMinute": 0}, "callsPerMinute"),
        ({"burst": True}, "burst"),
        ({"path": 1}, "path"),
        ({"sbatchOptions": "--exclusive"}, "sbatchOptions"),
    ],
)
def test_wrong_keys_of_slurm(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        SlurmSettings.read(settings)
    assert error.value.field == field


def test_all_keys_of_slurm() -> None:
    read = SlurmSettings.read(
        {
            "partitions": ["main", "gpu"],
            "account": "proj1",
            "qos": "high",
            "gpus": {"mi250": "amd.com"},
            "gpuMemory": {"a100": "80Gi"},
            "commandTimeout": 20,
            "callsPerMinute": 4,
            "burst": 30,
            "path": "/opt/slurm/bin",
        }
    )
    assert read == SlurmSettings(
        ("main", "gpu"), "proj1", "high", {"mi250": "amd.com"}, {"a100": 80 << 30}, 20.0, 4, 30, Path("/opt/slurm/bin")
    )


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"cores": 0}, "cores"),
        ({"memory": "lots"}, "memory"),
        ({"gpus": {"count": 4}}, "gpus.model"),
        ({"gpus": {"model": "a100", "count": 0}}, "gpus.count"),
        ({"gpus": {"model": "a100", "colour": "red"}}, "gpus.colour"),
        ({"queueDelay": -1}, "queueDelay"),
        ({"standing": "yes"}, "standing"),
        ({"slots": 4}, "slots"),
    ],
)
def test_wrong_keys_of_the_embedded_site(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        LocalSettings.read(settings)
    assert error.value.field == field


def test_the_embedded_sites_offer() -> None:
    offer = LocalSettings.read({"cores": 4, "memory": "1.5Gi", "gpus": {"model": "a100", "count": 4}}).offer()
    assert (offer.name, offer.cores, offer.memory, offer.standing) == ("local", 4, 3 << 29, True)
    assert [(gpu.vendor, gpu.model, gpu.count) for gpu in offer.gpus] == [("nvidia.com", "a100", 4)]
    assert LocalSettings.read({}).offer().cores >= 1
