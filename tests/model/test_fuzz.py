"""Whatever JSON or text arrives: a value, or Invalid with words; never another exception."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from farnode.errors import Invalid
from farnode.model.bundle import parse_bundle
from farnode.model.documents import read_bundles
from farnode.model.fields import KINDS
from farnode.model.image import Image
from farnode.model.order import order

from .samples import UID, bundle, container, pod

KEYS = sorted({key for kind in KINDS.values() for key in [*kind.honoured, *kind.harmless, *kind.refused]})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["v1", "Pod", "1Gi", "a", "/a", "metadata.name", "limits.cpu", "Always", UID]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
CLAIM = {"accessModes": ["ReadWriteOnce"], "storageClassName": "s", "resources": {"requests": {"storage": "1Gi"}}}
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["c"]}]}
MEMORY = {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}
PROJECTIONS = [
    {"configMap": {"name": "c", "items": [{"key": "k", "path": "a/b"}]}},
    {"secret": {"name": "s", "optional": True}},
    {"downwardAPI": {"items": [{"path": "a/c", "mode": 1, "resourceFieldRef": MEMORY}]}},
    {"serviceAccountToken": {"path": "t", "audience": "a", "expirationSeconds": 600}},
    {"clusterTrustBundle": {"path": "x", "signerName": "a.b/c", "labelSelector": SELECTOR}},
    {"clusterTrustBundle": {"path": "y", "name": "a.b:c:d", "optional": False}},
]
FULL: dict[str, Any] = bundle(
    pod(
        initContainers=[
            container(name="init", envFrom=[{"prefix": "A_", "configMapRef": {"name": "c"}}], restartPolicy="Never"),
            container(name="side", restartPolicy="Always", startupProbe={"tcpSocket": {"port": 80, "host": "::1"}}),
        ],
        containers=[
            container(
                command=["x"],
                env=[
                    {"name": "A", "value": "b"},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                    {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                ],
                resources={"limits": {"cpu": "1", "nvidia.com/gpu": 1}, "requests": {"cpu": "1m"}},
                volumeMounts=[
                    {"name": "v", "mountPath": "/v", "subPath": "s"},
                    {"name": "w", "mountPath": "/w", "subPathExpr": "$(A)", "readOnly": True},
                ],
                ports=[{"containerPort": 80, "name": "web", "hostPort": 80}],
                livenessProbe={
                    "httpGet": {"port": "web", "path": "/", "httpHeaders": [{"name": "A", "value": "b"}]},
                    "periodSeconds": 1,
                    "terminationGracePeriodSeconds": 1,
                },
                readinessProbe={"exec": {"command": ["x"]}, "successThreshold": 2},
                lifecycle={
                    "stopSignal": "SIGHUP",
                    "preStop": {"sleep": {"seconds": 1}},
                    "postStart": {"exec": {"command": ["x"]}},
                },
                restartPolicy="OnFailure",
                restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
                securityContext={"capabilities": {"drop": ["ALL"]}},
            )
        ],
        volumes=[
            {"name": "v", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "c", "configMap": {"name": "c", "items": [{"key": "k", "path": "p", "mode": 256}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
            {"name": "h", "hostPath": {"path": "/h", "type": "File"}},
            {"name": "i", "image": {"reference": "i:1", "pullPolicy": "Never"}},
            {"name": "p", "projected": {"sources": PROJECTIONS, "defaultMode": 256}},
        ],
        hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}],
        readinessGates=[{"conditionType": "a/b"}],
        resources={"limits": {"memory": "1Gi"}, "requests": {"cpu": "4"}},
        shareProcessNamespace=True,
        serviceAccountName="s",
        os={"name": "linux"},
        metadata={"annotations": {"farnode.io/walltime": "2h"}, "labels": {"a": "b"}},
    ),
    config_maps={"c": {"data": {"k": "v"}, "binaryData": {"b": "AA=="}}},
    secrets={"s": {"data": {"k": "dg=="}, "stringData": {"l": "w"}}},
    claims={"c": {"spec": CLAIM}},
) | {
    "serviceAccountTokens": [{"audience": "a", "token": "t"}],
    "clusterTrustBundles": [
        {"metadata": {"name": "a.b:c:d", "labels": {"a": "b"}}, "spec": {"signerName": "a.b/c", "trustBundle": PEM}}
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, below in inner for place in places(below, (*path, key)))]


PLACES = [place for place in places(FULL) if place]


def check(document: Any) -> None:
    with contextlib.suppress(Invalid):
        parsed = parse_bundle(document)
        images = {reference: Image(reference) for reference, _ in parsed.pod.image_references}
        claims = {claim.name: f"/{claim.size}" for claim in parsed.claims}
        made = order(
            parsed, owner="o", attempt=1, images=images, node_name="n", runtime="process", restarts={}, claims=claims
        )
        assert len(parsed.host_paths) <= len(made["volumes"])
        json.dumps(made).encode()


def test_the_full_bundle_is_accepted() -> None:
    parse_bundle(FULL)


@settings(deadline=None)
@given(VALUES)
def test_any_bundle(document: Any) -> None:
    check(document)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=2))
def test_any_value_in_any_place_of_a_bundle(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = copy.deepcopy(FULL)
    for place, value in changes:
        target: Any = document
        for key in place[:-1]:
            present = isinstance(target, dict) and key in target
            present = present or (isinstance(target, list) and isinstance(key, int) and key < len(target))
            if not present:
                break
            target = target[key]
        if isinstance(target, dict):
            target[str(place[-1])] = value
        elif isinstance(target, list):
            target.append(value)
    check(document)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="a1:-[]{},&*!<'\"| \n\t#", max_size=40) | VALUES.map(json.dumps))
def test_any_text(text: str) -> None:
    with contextlib.suppress(Invalid):
        read_bundles([("x", text)], lambda: UID)
