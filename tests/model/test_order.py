"""Golden pairs: the files of a user beside the order a runner is given for them.

After a wanted change: `python -m pytest tests/model/test_order.py` prints the difference; write the new order down.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farnode.model.bundle import parse_bundle
from farnode.model.documents import read_bundles
from farnode.model.image import Image
from farnode.model.order import order
from farnode.wire.messages import PodOrder

GOLDEN = Path(__file__).parent / "golden"
BUSYBOX = Image("busybox:1.36", "sha256:b0", "/images/b0.sif", cmd=("sh",), env=("PATH=/bin",))
TRAINER = Image("trainer:2", "sha256:70", "/images/70.sif", ("python",), ("-m", "train"), ("A=b",), "/app")


def make(name: str, *images: Image, runtime: str = "apptainer") -> PodOrder:
    path = GOLDEN / f"{name}.yaml"
    [bundle] = read_bundles([(path.name, path.read_text("utf-8"))], lambda: "unused")
    return order(
        parse_bundle(bundle),
        owner="alice",
        attempt=2,
        images={image.reference: image for image in images},
        node_name="site-a",
        runtime=runtime,
        restarts={"train": 1} if name == "gpus" else {},
        claims={"results": "/site/alice/results", "storage-scratch": "/site/fast/1"},
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.yaml")))
def test_golden_pair(name: str) -> None:
    expected: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))
    assert json.loads(json.dumps(make(name, BUSYBOX, TRAINER))) == expected


def test_without_an_image_there_is_no_path() -> None:
    made = make("plain", Image("busybox:1.36"), runtime="process")
    assert made["containers"][0]["image"] == {
        "reference": "busybox:1.36",
        "digest": "",
        "entrypoint": [],
        "cmd": [],
        "env": [],
        "working_dir": "",
    }
    assert made["runtime"] == "process"
