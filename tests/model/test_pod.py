from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.env import EnvFrom, EnvVar, FieldSource, KeySource, ResourceSource
from farnode.model.image import default_pull_policy
from farnode.model.mount import Mount
from farnode.model.pod import parse_pod
from farnode.model.projection import FieldFiles, FieldItem, KeyItem, ObjectFiles
from farnode.model.quantity import Quantity
from farnode.model.volume import EmptyDir

from .samples import UID, container, one, pod

EMPTY = [{"name": "a", "emptyDir": {}}]


def env(**fields: Any) -> Any:
    return one(env=[{"name": "X", **fields}])


def mounted(**fields: Any) -> Any:
    return pod(volumes=EMPTY, containers=[container(volumeMounts=[{"name": "a", "mountPath": "/a", **fields}])])


def test_the_smallest_pod_has_kubernetes_defaults() -> None:
    parsed = parse_pod({"metadata": {"name": "hello.world"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert (parsed.namespace, parsed.uid, parsed.restart_policy, parsed.grace) == ("default", "", "Always", 30)
    assert (parsed.deadline, parsed.hostname, parsed.service_account) == (None, "hello.world", "default")
    only = parsed.containers[0]
    assert (only.command, only.args, only.working_dir, only.pull_policy) == (None, None, "", "Always")
    assert (only.termination_message_path, only.termination_message_policy) == ("/dev/termination-log", "File")
    assert (parsed.ignored, parsed.init_containers, parsed.volumes) == ((), (), ())


def test_what_is_honoured() -> None:
    document = pod(
        metadata={"namespace": "lab", "labels": {"app.example.com/x": "1"}, "annotations": {"note": "any: text\n"}},
        initContainers=[container(name="init")],
        containers=[
            container(
                command=["sh", "-c"],
                args=["true", ""],
                workingDir="/work",
                imagePullPolicy="Never",
                tty=True,
                stdin=True,
                ports=[{"containerPort": 8080, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
                resources={"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": 0.5}},
                volumeMounts=[
                    {"name": "scratch", "mountPath": "/scratch", "subPath": "a/b"},
                    {"name": "config", "mountPath": "etc/config", "readOnly": True},
                ],
                terminationMessagePath="/tmp/end",
                terminationMessagePolicy="FallbackToLogsOnError",
            )
        ],
        volumes=[
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "config", "configMap": {"name": "c", "items": [{"key": "k", "path": "p/q", "mode": 0o600}]}},
            {"name": "secret", "secret": {"secretName": "s", "optional": True, "defaultMode": 0o400}},
            {
                "name": "about",
                "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0}]},
            },
        ],
        restartPolicy="OnFailure",
        terminationGracePeriodSeconds=0,
        activeDeadlineSeconds=60,
        hostname="h",
        nodeSelector={"gpu": "yes"},
        imagePullSecrets=[{"name": "registry"}],
        serviceAccountName="runner",
    )
    parsed = parse_pod(document)
    assert (parsed.uid, parsed.namespace, parsed.name) == (UID, "lab", "hello")
    assert (parsed.restart_policy, parsed.grace, parsed.deadline) == ("OnFailure", 0, 60)
    assert (parsed.hostname, parsed.node_selector, parsed.service_account) == ("h", {"gpu": "yes"}, "runner")
    assert parsed.image_pull_secrets == ("registry",)
    assert [c.name for c in parsed.all_containers] == ["init", "main"]
    main = parsed.containers[0]
    assert (main.command, main.args, main.pull_policy) == (("sh", "-c"), ("true", ""), "Never")
    assert (main.tty, main.stdin, main.termination_message_path) == (True, True, "/tmp/end")
    assert [(p.port, p.name, p.protocol) for p in main.ports] == [(8080, "http", "TCP"), (53, "", "UDP")]
    assert main.resources.requests == {"cpu": Quantity.parse("500m"), "memory": Quantity.parse("1Gi")}
    assert main.mounts == (Mount("scratch", "/scratch", False, "a/b"), Mount("config", "/etc/config", True))
    assert [volume.source for volume in parsed.volumes] == [
        EmptyDir("Memory", 2**30),
        ObjectFiles("ConfigMap", "c", (KeyItem("k", "p/q", 0o600),)),
        ObjectFiles("Secret", "s", (), 0o400, optional=True),
        FieldFiles((FieldItem("labels", FieldSource("metadata.labels"), 0),)),
    ]


def test_environment() -> None:
    parsed = parse_pod(
        one(
            env=[
                {"name": "PLAIN", "value": "a $(B)"},
                {"name": "EMPTY"},
                {"name": "a.b-c d", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
                {"name": "F", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a/b']"}}},
                {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "Z", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "0"}}},
            ],
            envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s", "optional": True}}],
        )
    )
    assert parsed.containers[0].env == (
        EnvVar("PLAIN", "a $(B)"),
        EnvVar("EMPTY"),
        EnvVar("a.b-c d", source=KeySource("ConfigMap", "c", "k", False)),
        EnvVar("S", source=KeySource("Secret", "s", "k", True)),
        EnvVar("F", source=FieldSource("metadata.labels", "a/b")),
        EnvVar("R", source=ResourceSource("limits", "cpu", Quantity.parse("1m"))),
        EnvVar("Z", source=ResourceSource("requests", "memory", Quantity.parse("1"))),
    )
    assert parsed.containers[0].env_from == (
        EnvFrom("ConfigMap", "c", "P_", False),
        EnvFrom("Secret", "s", "", True),
    )


def test_an_empty_command_is_no_command() -> None:
    only = parse_pod(one(command=[], args=[])).containers[0]
    assert (only.command, only.args) == (None, None)


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("host:5000/busybox", "Always"),
        ("host:5000/busybox:1", "IfNotPresent"),
        ("busybox@sha256:00", "IfNotPresent"),
    ],
)
def test_default_pull_policy(image: str, policy: str) -> None:
    assert default_pull_policy(image) == policy


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({}, "metadata.name", "is required"),
        ({"kind": "Job"}, "kind", "must be Pod"),
        ({"apiVersion": "v2"}, "apiVersion", "must be v1"),
        ({"metadata": []}, "metadata", "is a list, but must be an object"),
        ({"metadata": {"name": 3}}, "metadata.name", 'is the number 3, but must be text: quote it ("3")'),
        (pod(metadata={"name": "Hello"}), "metadata.name", "lower-case letters, digits"),
        (pod(metadata={"name": "x" * 254}), "metadata.name", "has 254 characters; at most 253"),
        (pod(metadata={"name": "a\n"}), "metadata.name", "is not valid"),
        (pod(metadata={"namespace": "a.b"}), "metadata.namespace", "is not valid"),
        (pod(metadata={"uid": UID.upper()}), "metadata.uid", "a lower-case UUID such as"),
        (pod(metadata={"labels": {"a": 1}}), "metadata.labels[a]", 'quote it ("1")'),
        (
            pod(metadata={"labels": {"a": True}}),
            "metadata.labels[a]",
            'is the boolean true, but must be text: quote it ("true")',
        ),
        (pod(metadata={"labels": {"a": "-"}}), "metadata.labels[a]", "beginning and ending"),
        (pod(metadata={"labels": {"/a": "b"}}), "metadata.labels[/a]", "is not valid"),
        (pod(metadata={"annotations": {"a b": "c"}}), "metadata.annotations[a b]", "is not valid"),
        (pod(metadata={"annotations": {"a": "x" * 300000}}), "metadata.annotations", "more than 262144 bytes"),
        (
            pod(metadata={"annotations": {"farnode.io/walltme": "2h"}}),
            "metadata.annotations[farnode.io/walltme]",
            "walltime?",
        ),
        (pod(containers=[]), "spec.containers", "at least one container"),
        (pod(containers={}), "spec.containers", "is an object, but must be a list"),
        (pod(containers=[None]), "spec.containers[0].image", "is required"),
        (pod(containers=["x"]), "spec.containers[0]", "is the text 'x', but must be an object"),
        (one(name=""), "spec.containers[0].name", "is required"),
        (one(name="a_b"), "spec.containers[0].name", "is not valid"),
        (one(image=None), "spec.containers[0].image", "is required"),
        (one(image=" x"), "spec.containers[0].image", "white space"),
        (
            one(imagePullPolicy="always"),
            "spec.containers[0].imagePullPolicy",
            "is not one of Always, IfNotPresent, Never",
        ),
        (one(command="ls"), "spec.containers[0].command", "is the text 'ls', but must be a list"),
        (one(args=["-p", 8080]), "spec.containers[0].args[1]", 'quote it ("8080")'),
        (one(args=["a\0b"]), "spec.containers[0].args[0]", "contains a NUL character"),
        (one(args=["\ud800"]), "spec.containers[0].args[0]", "surrogate"),
        (one(tty="yes"), "spec.containers[0].tty", "is the text 'yes', but must be true or false"),
        (one(terminationMessagePolicy="Log"), "spec.containers[0].terminationMessagePolicy", "FallbackToLogsOnError"),
        (one(ports=[{}]), "spec.containers[0].ports[0].containerPort", "is required"),
        (
            one(ports=[{"containerPort": 70000}]),
            "spec.containers[0].ports[0].containerPort",
            "is not between 1 and 65535",
        ),
        (pod(containers=[container(), container()]), "spec.containers[1].name", "'main' is already the name"),
        (pod(initContainers=[container()]), "spec.containers[0].name", "'main' is already the name"),
        (env(value=8080), "spec.containers[0].env[0].value", 'is the number 8080, but must be text: quote it ("8080")'),
        (env(value=1.5), "spec.containers[0].env[0].value", 'quote it ("1.5")'),
        (env(value=10**50), "spec.containers[0].env[0].value", "more than 40 digits"),
        (env(name="A=B"), "spec.containers[0].env[0].name", "other than '='"),
        (env(name=""), "spec.containers[0].env[0].name", "is required"),
        (env(value="x", valueFrom={"fieldRef": {}}), "spec.containers[0].env[0].valueFrom", "together with value"),
        (env(valueFrom={}), "spec.containers[0].env[0].valueFrom", "exactly one of configMapKeyRef, secretKeyRef"),
        (
            env(valueFrom={"fieldRef": {"fieldPath": "status.phase"}}),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
            "'status.phase' is not one of metadata.name",
        ),
        (
            env(valueFrom={"resourceFieldRef": {"resource": "limits.nvidia.com/gpu"}}),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource",
            "must be one of limits.cpu",
        ),
        (
            env(valueFrom={"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor",
            "2 is not one of 0, 1, 1m",
        ),
        (
            env(valueFrom={"resourceFieldRef": {"resource": "limits.cpu", "containerName": "other"}}),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.containerName",
            "'other' is not a container of this pod",
        ),
        (
            env(valueFrom={"secretKeyRef": {"name": "s"}}),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key",
            "is required",
        ),
        (one(envFrom=[{}]), "spec.containers[0].envFrom[0]", "exactly one of configMapRef, secretRef"),
        (one(envFrom=[{"secretRef": {}}]), "spec.containers[0].envFrom[0].secretRef.name", "is required"),
        (mounted(name="b"), "spec.containers[0].volumeMounts[0].name", "'b' is not a volume of this pod; they are a"),
        (mounted(mountPath="/a:b"), "spec.containers[0].volumeMounts[0].mountPath", "must not contain ':'"),
        (mounted(mountPath="/a/../b"), "spec.containers[0].volumeMounts[0].mountPath", "'..'"),
        (mounted(mountPath=""), "spec.containers[0].volumeMounts[0].mountPath", "is required"),
        (mounted(subPath="/x"), "spec.containers[0].volumeMounts[0].subPath", "must be a relative path"),
        (mounted(subPath="a/../b"), "spec.containers[0].volumeMounts[0].subPath", "must not climb"),
        (
            pod(
                volumes=EMPTY,
                containers=[
                    container(volumeMounts=[{"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "a"}])
                ],
            ),
            "spec.containers[0].volumeMounts[1].mountPath",
            "'/a' is already the path of another mount",
        ),
        (pod(volumes=EMPTY * 2), "spec.volumes[1].name", "'a' is already the name of another volume"),
        (pod(volumes=[{"name": "a"}]), "spec.volumes[0]", "exactly one of emptyDir, configMap, secret, downwardAPI"),
        (pod(volumes=[{"name": "a", "emptyDir": {}, "secret": {}}]), "spec.volumes[0]", "exactly one of"),
        (
            pod(volumes=[{"name": "a", "emptyDir": {"medium": "HugePages"}}]),
            "spec.volumes[0].emptyDir.medium",
            "Memory",
        ),
        (
            pod(volumes=[{"name": "a", "emptyDir": {"sizeLimit": "-1"}}]),
            "spec.volumes[0].emptyDir.sizeLimit",
            "negative",
        ),
        (
            pod(volumes=[{"name": "a", "configMap": {"name": "c", "defaultMode": 777}}]),
            "spec.volumes[0].configMap.defaultMode",
            "0 to 0777 (511 in decimal)",
        ),
        (
            pod(volumes=[{"name": "a", "configMap": {"name": "c", "items": [{"key": "k", "path": "p"}] * 2}}]),
            "spec.volumes[0].configMap.items",
            "two files have the path 'p'",
        ),
        (pod(restartPolicy="never"), "spec.restartPolicy", "'never' is not one of Always, OnFailure, Never"),
        (pod(terminationGracePeriodSeconds=-1), "spec.terminationGracePeriodSeconds", "-1 is not between 0 and"),
        (pod(terminationGracePeriodSeconds="30"), "spec.terminationGracePeriodSeconds", "must be a whole number"),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds", "0 is not between 1 and"),
        (pod(activeDeadlineSeconds=True), "spec.activeDeadlineSeconds", "must be a whole number"),
        (pod(hostname="a.b"), "spec.hostname", "is not valid"),
        (pod(nodeSelector={"a": None}), "spec.nodeSelector[a]", "is null, but must be text"),
        (pod(imagePullSecrets=[{}]), "spec.imagePullSecrets[0].name", "is required"),
    ],
)
def test_refused(document: Any, field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(document)
    assert caught.value.field == field
    assert words in caught.value.problem


@pytest.mark.parametrize(
    ("resources", "place", "words"),
    [
        ({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, "requests[cpu]", "2 is more than the limit, 1"),
        ({"limits": {"cpu": "-1"}}, "limits[cpu]", "must not be negative"),
        ({"limits": {"cpu": "one"}}, "limits[cpu]", "'one' is not a quantity"),
        ({"limits": {"gpu": 1}}, "limits[gpu]", "is not a resource known here"),
        ({"limits": {"nvidia.com/gpu": "500m"}}, "limits[nvidia.com/gpu]", "must be a whole number"),
        ({"requests": {"nvidia.com/gpu": 1}}, "requests[nvidia.com/gpu]", "needs a limit as well"),
        (
            {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
            "requests[nvidia.com/gpu]",
            "1 must equal the limit, 2",
        ),
    ],
)
def test_resources_refused(resources: Any, place: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(one(resources=resources))
    assert caught.value.field == f"spec.containers[0].resources.{place}"
    assert words in caught.value.problem
