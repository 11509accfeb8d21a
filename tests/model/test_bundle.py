from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.bundle import parse_bundle
from farnode.model.inputs import Input
from farnode.model.pod import parse_pod
from farnode.model.reference import references

from .samples import UID, bundle, container, one, pod

FROM = [{"configMapRef": {"name": "c"}}]


def key(kind: str, name: str = "c", optional: bool | None = None) -> Any:
    reference = {"name": name, "key": "k"} | ({} if optional is None else {"optional": optional})
    return one(env=[{"name": "X", "valueFrom": {kind: reference}}])


def volume(source: Any) -> Any:
    return pod(volumes=[{"name": "v", **source}])


def test_content() -> None:
    document = bundle(
        pod(),
        config_maps={"c": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "ü"}, "binaryData": {"b": "AAE="}}},
        secrets={"s": {"type": "x/y", "data": {"p": "cGFz\ncw==", "q": "b2xk"}, "stringData": {"q": "new"}}},
    )
    parsed = parse_bundle(document)
    assert parsed.pod.uid == UID
    assert parsed.config_maps == {"c": Input({"a": "ü".encode()}, {"b": b"\0\1"})}
    assert parsed.config_maps["c"].files == {"a": "ü".encode(), "b": b"\0\1"}
    assert parsed.secrets == {"s": Input({"p": b"pass", "q": b"new"}, type="x/y")}
    assert parsed.document is document
    assert parse_bundle(parsed.document) == parsed


def test_secrets_are_not_shown() -> None:
    shown = repr(parse_bundle(bundle(pod(), secrets={"s": {"stringData": {"password": "hunter2"}}})))
    assert "hunter2" not in shown
    assert "password" not in shown


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(Invalid) as caught:
        parse_bundle(bundle(pod(), secrets={"s": {"stringData": {"pin": 123456}}}))
    assert str(caught.value) == "secrets[0].stringData[pin]: must be text: put it in quotes"


def test_references_are_found_everywhere() -> None:
    document = pod(
        initContainers=[container(name="i", envFrom=[{"secretRef": {"name": "s", "optional": True}}])],
        containers=[container(env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}])],
        volumes=[
            {"name": "a", "configMap": {"name": "d", "items": [{"key": "x", "path": "y"}]}},
            {"name": "b", "secret": {"secretName": "t"}},
            {"name": "e", "emptyDir": {}},
        ],
        imagePullSecrets=[{"name": "registry"}],
    )
    found = [(r.path, r.kind, r.name, r.optional, r.keys, r.env) for r in references(parse_pod(document))]
    assert found == [
        ("spec.initContainers[0].envFrom[0]", "Secret", "s", True, (), True),
        ("spec.containers[0].env[0].valueFrom", "ConfigMap", "c", False, ("k",), True),
        ("spec.volumes[0].configMap", "ConfigMap", "d", False, ("x",), False),
        ("spec.volumes[1].secret", "Secret", "t", False, (), False),
        ("spec.imagePullSecrets[0]", "Secret", "registry", True, (), False),
    ]


@pytest.mark.parametrize(
    "document",
    [
        bundle(key("configMapKeyRef", optional=True)),
        bundle(key("configMapKeyRef", optional=True), config_maps={"c": {"data": {"other": "x"}}}),
        bundle(key("secretKeyRef"), secrets={"c": {"stringData": {"k": ""}}}),
        bundle(volume({"configMap": {"name": "c", "optional": True}})),
        bundle(
            volume({"configMap": {"name": "c", "items": [{"key": "b", "path": "p"}]}}),
            config_maps={"c": {"binaryData": {"b": ""}}},
        ),
        bundle(pod(imagePullSecrets=[{"name": "absent"}])),
        bundle(one(envFrom=[{"configMapRef": {"name": "c", "optional": True}}])),
        {"pod": pod()},
    ],
)
def test_accepted(document: Any) -> None:
    parse_bundle(document)


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({}, "pod", "is required: a v1.Pod"),
        ({"pod": pod(), "pods": []}, "pods", "is not part of a bundle"),
        (bundle(pod(metadata={"uid": None})), "metadata.uid", "is required: a lower-case UUID"),
        (bundle(one(imagePullPolicy="x")), "spec.containers[0].imagePullPolicy", "is not one of"),
        (
            bundle(key("configMapKeyRef")),
            "spec.containers[0].env[0].valueFrom",
            "needs the ConfigMap 'c' of namespace 'default', which does not come with the pod; add it, or set optional",
        ),
        (
            bundle(key("secretKeyRef"), config_maps={"c": {"data": {"k": "v"}}}),
            "spec.containers[0].env[0].valueFrom",
            "needs the Secret 'c'",
        ),
        (
            bundle(key("configMapKeyRef"), config_maps={"c": {"data": {"b": "", "a": ""}}}),
            "spec.containers[0].env[0].valueFrom",
            "the ConfigMap 'c' has no key 'k'; its keys: a, b",
        ),
        (bundle(one(envFrom=FROM)), "spec.containers[0].envFrom[0]", "needs the ConfigMap 'c'"),
        (
            bundle(volume({"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}}), secrets={"s": {}}),
            "spec.volumes[0].secret",
            "has no key 'k'; its keys: none",
        ),
        (
            bundle(key("secretKeyRef", "s"), secrets={"s": {"data": {"k": "/w=="}}}),
            "spec.containers[0].env[0].valueFrom",
            "is binary, not text (UTF-8): mount it as a file instead",
        ),
        (
            bundle(key("configMapKeyRef"), config_maps={"c": {"binaryData": {"k": "AA=="}}}),
            "spec.containers[0].env[0].valueFrom",
            "has no key 'k'",
        ),
        (
            bundle(pod(), secrets={"s": {"data": {"k": "plain!"}}}),
            "secrets[0].data[k]",
            "is not base64; plain text goes",
        ),
        (bundle(pod(), secrets={"s": {"data": {"k": 5}}}), "secrets[0].data[k]", "must be text: put it in quotes"),
        (bundle(pod(), config_maps={"c": {"data": {"k": 5}}}), "configMaps[0].data[k]", 'quote it ("5")'),
        (bundle(pod(), config_maps={"c": {"data": {"../k": ""}}}), "configMaps[0].data[../k]", "is not valid"),
        (bundle(pod(), config_maps={"c": {"data": {"..": ""}}}), "configMaps[0].data[..]", "is not valid"),
        (
            bundle(pod(), config_maps={"c": {"data": {"k": ""}, "binaryData": {"k": ""}}}),
            "configMaps[0].binaryData",
            "also a key",
        ),
        (bundle(pod(), config_maps={"c": {"dat": {}}}), "configMaps[0].dat", "did you mean data?"),
        (bundle(pod(), config_maps={"C": {}}), "configMaps[0].metadata.name", "is not valid"),
        (
            bundle(pod(), config_maps={"c": {"data": {"k": "x" * 2**20 + "y"}}}),
            "configMaps[0]",
            "more than 1048576 bytes",
        ),
        (
            {"pod": pod(), "configMaps": [{"metadata": {"name": "c", "namespace": "other"}}]},
            "configMaps[0].metadata.namespace",
            "must be the pod's, 'default'",
        ),
        (
            {"pod": pod(), "secrets": [{"metadata": {"name": "s"}}] * 2},
            "secrets[1].metadata.name",
            "there is already a Secret 's'",
        ),
        (
            bundle(
                pod(volumes=[{"name": f"v{i}", "configMap": {"name": "c"}} for i in range(17)]),
                config_maps={"c": {"data": {"k": "x" * 2**20}}},
            ),
            "spec",
            "at most 16777216 may be",
        ),
        (
            bundle(one(resources={"limits": {"example.com/x": 1}})),
            "spec.containers[0].resources.limits[example.com/x]",
            "GPUs",
        ),
    ],
)
def test_refused(document: Any, field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_bundle(document)
    assert caught.value.field == field
    assert words in caught.value.problem
