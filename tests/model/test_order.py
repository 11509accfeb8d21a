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
from farnode.model.peers import Peers
from farnode.wire.messages import PodOrder

GOLDEN = Path(__file__).parent / "golden"
BUSYBOX = Image("busybox:1.36", "sha256:b0", "/images/b0.sif", cmd=("sh",), env=("PATH=/bin",))
TRAINER = Image("trainer:2", "sha256:70", "/images/70.sif", ("python",), ("-m", "train"), ("A=b",), "/app")


def make(name: str, *images: Image, runtime: str = "apptainer", peers: Peers | None = None) -> PodOrder:
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
        peers=peers,
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


PEERS = Peers(1, ("n3", "n1", ""), ("10.0.0.3", "10.0.0.1", ""), ("w-0", "w-1", "w-2"))


def test_a_member_of_a_gang_knows_the_others() -> None:
    made = make("plain", BUSYBOX, peers=PEERS)
    assert [(one["name"], one["value"]) for one in made["containers"][0]["env"][:4]] == [
        ("FARNODE_GANG_RANK", "1"),
        ("FARNODE_GANG_SIZE", "3"),
        ("FARNODE_GANG_HOSTS", "n3,n1,"),
        ("FARNODE_GANG_ADDRESSES", "10.0.0.3,10.0.0.1,"),
    ]
    assert made["host_aliases"] == [{"ip": "10.0.0.3", "hostnames": ["w-0"]}, {"ip": "10.0.0.1", "hostnames": ["w-1"]}]


def test_without_an_image_the_nodes_own_hosts_are_known() -> None:
    assert "host_aliases" not in make("plain", Image("busybox:1.36"), runtime="process", peers=PEERS)
