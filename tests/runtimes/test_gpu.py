from __future__ import annotations

import pytest

from farnode.runner.limits import gpu


@pytest.mark.parametrize(
    ("environ", "devices"),
    [
        ({}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,3"}, ["0", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1f,MIG-2e"}, ["GPU-1f", "MIG-2e"]),
        ({"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "1"}, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"ZE_AFFINITY_MASK": "0.0,0.1"}, ["0.0", "0.1"]),
        ({"FARNODE_GPUS": "2"}, ["0", "1"]),
        ({"FARNODE_GPUS": ""}, []),
    ],
)
def test_devices(environ: dict[str, str], devices: list[str]) -> None:
    assert gpu.devices(environ) == devices


def test_every_variable_the_batch_system_set_carries_the_part() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "2,3", "ROCR_VISIBLE_DEVICES": "2,3"}
    assert gpu.visible(environ, ["3"]) == {
        "CUDA_VISIBLE_DEVICES": "3",
        "ROCR_VISIBLE_DEVICES": "3",
        "NVIDIA_VISIBLE_DEVICES": "3",
    }


def test_amd_devices_are_not_called_nvidias() -> None:
    assert gpu.visible({"ROCR_VISIBLE_DEVICES": "0"}, ["0"]) == {"ROCR_VISIBLE_DEVICES": "0"}


def test_none_sees_none() -> None:
    hidden = gpu.visible({"CUDA_VISIBLE_DEVICES": "0"}, [])
    assert hidden["CUDA_VISIBLE_DEVICES"] == hidden["ROCR_VISIBLE_DEVICES"] == ""
    assert hidden["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert hidden["ZE_AFFINITY_MASK"] == "9999"


def test_pretended_devices_are_shown() -> None:
    assert gpu.visible({"FARNODE_GPUS": "2"}, ["1"])["CUDA_VISIBLE_DEVICES"] == "1"
