"""Pods that are alike are read once: nothing of it may show."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.bundle import SHAPE_BYTES, parse_bundle
from farnode.model.documents import read_bundles
from farnode.model.pod import parse_pod

from .samples import UID, bundle, container, pod

OTHER = "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"
GOLDEN = sorted((Path(__file__).parent / "golden").rglob("*.yaml"))


def named(document: dict[str, Any], uid: str = OTHER, **metadata: Any) -> dict[str, Any]:
    """The same pod under another name, as the next of a thousand."""
    other = copy.deepcopy(document)
    other["pod"]["metadata"].update({"name": "other", "uid": uid, **metadata})
    return other


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_second_of_a_kind_is_read_as_the_first(path: Path) -> None:
    [document] = read_bundles([(path.name, path.read_text("utf-8"))], lambda: UID)
    parse_bundle(document)
    labels, annotations = {"index": "7"}, {"note": "x", **document["pod"]["metadata"].get("annotations", {})}
    other = named(document, labels=labels, annotations=annotations)
    found = parse_bundle(other)
    assert found.pod == parse_pod(other["pod"])
    assert (found.pod.name, found.pod.uid, found.pod.labels) == ("other", OTHER, labels)
    assert (found.inputs, found.document) == (parse_bundle(document).inputs, other)


def test_a_hostname_is_the_name_unless_it_is_given() -> None:
    plain, given = bundle(pod()), bundle(pod(hostname="mine"))
    assert [parse_bundle(named(one)).pod.hostname for one in (plain, given)] == ["other", "mine"]


def test_settings_and_namespace_are_not_shared() -> None:
    first = parse_bundle(bundle(pod()))
    second = parse_bundle(named(bundle(pod()), annotations={"farnode.io/walltime": "1h"}, namespace="lab"))
    assert (first.demand.walltime, second.demand.walltime) == (None, 3600)
    assert second.pod.namespace == "lab"


def test_claims_named_after_their_pod_are_its_own() -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    document = bundle(pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]))
    names = [parse_bundle(one).claims[0].name for one in (document, named(document))]
    assert names == [f"{document['pod']['metadata']['name']}-v", "other-v"]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"name": "Bad"}, "metadata.name"),
        ({"uid": ""}, "metadata.uid"),
        ({"uid": "x"}, "metadata.uid"),
        ({"labels": {"a": "?"}}, "metadata.labels[a]"),
        ({"labels": 5}, "metadata.labels"),
        ({"annotations": {"?": ""}}, "metadata.annotations[?]"),
        ({"nmae": "x"}, "metadata.nmae"),
        ({"namespace": 5}, "metadata.namespace"),
    ],
)
def test_what_is_wrong_with_one_pod_is_told_of_it(metadata: dict[str, Any], field: str) -> None:
    parse_bundle(bundle(pod()))
    with pytest.raises(Invalid) as caught:
        parse_bundle(named(bundle(pod()), **metadata))
    assert caught.value.field == field


def test_fields_without_effect_are_told_of_each_pod() -> None:
    document = bundle(pod(schedulerName="s"))
    document["pod"]["status"] = {"phase": "Pending"}
    parse_bundle(document)
    found = parse_bundle(named(document, creationTimestamp="2026-01-01T00:00:00Z"))
    assert {one.field for one in found.pod.ignored} == {"metadata.creationTimestamp", "spec.schedulerName", "status"}


def test_large_ones_are_not_remembered() -> None:
    large = bundle(pod(containers=[container(args=["x" * SHAPE_BYTES])]))
    assert parse_bundle(large).pod.containers == parse_bundle(named(large)).pod.containers
    assert parse_bundle(large).pod.containers[0] is not parse_bundle(named(large)).pod.containers[0]


def test_what_is_alike_is_kept_once() -> None:
    first, second = parse_bundle(bundle(pod())), parse_bundle(named(bundle(pod())))
    assert first.pod.containers is second.pod.containers
    assert first.demand is second.demand
