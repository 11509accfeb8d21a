"""Volumes and mounts, as the API server takes and refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.claim import ClaimSpec
from farnode.model.env import FieldSource, ResourceSource
from farnode.model.mount import Mount
from farnode.model.pod import Pod, parse_pod
from farnode.model.projection import (
    FieldFiles,
    FieldItem,
    KeyItem,
    ObjectFiles,
    Projected,
    TokenFile,
    TrustFile,
)
from farnode.model.quantity import Quantity
from farnode.model.selector import Requirement, Selector
from farnode.model.volume import HOST_TYPES, Claim, EmptyDir, EphemeralClaim, HostPath, ImageVolume, Source

from .samples import container, pod

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
HOST = {"hostPath": {"path": "/x"}}
LIMIT = {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}
LONG = "x" * 256


def volume(**source: Any) -> Any:
    return pod(volumes=[{"name": "v", **source}])


def read(**source: Any) -> Source:
    return parse_pod(volume(**source)).volumes[0].source


def projected(*sources: Any, **fields: Any) -> Any:
    return volume(projected={"sources": list(sources), **fields})


def ephemeral(**changes: Any) -> Any:
    return volume(ephemeral={"volumeClaimTemplate": {"spec": {**CLAIM, **changes}}})


def mounted(source: Any = None, **fields: Any) -> Any:
    mounts = [{"name": "v", "mountPath": "/v", **fields}]
    return pod(volumes=[{"name": "v", **(source or {"emptyDir": {}})}], containers=[container(volumeMounts=mounts)])


@pytest.mark.parametrize(
    ("source", "found", "read_only"),
    [
        ({"emptyDir": {}}, EmptyDir(), False),
        ({"emptyDir": {"medium": "Memory", "sizeLimit": "1Ki"}}, EmptyDir("Memory", 1024), False),
        ({"emptyDir": {"sizeLimit": 0}}, EmptyDir(), False),
        ({"hostPath": {"path": "/a//b/", "type": "DirectoryOrCreate"}}, HostPath("/a/b", "DirectoryOrCreate"), False),
        ({"hostPath": {"path": "//", "type": None}}, HostPath("/"), False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, Claim("c"), False),
        ({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}, Claim("c", read_only=True), True),
        ({"image": {"reference": "a:1"}}, ImageVolume("a:1", "IfNotPresent"), True),
        ({"image": {"reference": "a", "pullPolicy": "Never"}}, ImageVolume("a", "Never"), True),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {**CLAIM, "storageClassName": "fast"}}}},
            EphemeralClaim(ClaimSpec("fast", 2**30, ("ReadWriteOnce",))),
            False,
        ),
        ({"configMap": {"name": "c"}}, ObjectFiles("ConfigMap", "c"), True),
        ({"projected": {}}, Projected(()), True),
    ],
)
def test_sources(source: Any, found: Source, read_only: bool) -> None:
    parsed = parse_pod(volume(**source)).volumes[0]
    assert (parsed.source, parsed.read_only) == (found, read_only)


def test_projected() -> None:
    selector = {
        "matchLabels": {"a": "b"},
        "matchExpressions": [
            {"key": "c", "operator": "Exists"},
            {"key": "d", "operator": "NotIn", "values": ["", "e"]},
        ],
    }
    found = read(
        projected={
            "defaultMode": 0o400,
            "sources": [
                {"configMap": {"name": "c", "optional": True}},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "./p//q/", "mode": 0o640}]}},
                {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"downwardAPI": {"items": [{"path": "r", "resourceFieldRef": LIMIT, "mode": 0}]}},
                {"serviceAccountToken": {"path": "t"}},
                {"serviceAccountToken": {"path": "u/..t", "audience": "vault", "expirationSeconds": 600}},
                {"clusterTrustBundle": {"path": "x", "name": "a.b:c:d", "optional": True}},
                {"clusterTrustBundle": {"path": "y", "signerName": "a.b/c"}},
                {"clusterTrustBundle": {"path": "z", "signerName": "a.b/c", "labelSelector": selector}},
            ],
        }
    )
    wanted = Selector(
        (Requirement("a", "In", ("b",)), Requirement("c", "Exists"), Requirement("d", "NotIn", ("", "e")))
    )
    cpu = ResourceSource("limits", "cpu", Quantity.parse("1m"), "main")
    assert found == Projected(
        (
            ObjectFiles("ConfigMap", "c", (), 0o400, optional=True),
            ObjectFiles("Secret", "s", (KeyItem("k", "p/q", 0o640),), 0o400),
            FieldFiles((FieldItem("n", FieldSource("metadata.name")),), 0o400),
            FieldFiles((FieldItem("r", cpu, 0),), 0o400),
            TokenFile("t", "", 3600, 0o400),
            TokenFile("u/..t", "vault", 600, 0o400),
            TrustFile("x", "a.b:c:d", mode=0o400, optional=True),
            TrustFile("y", signer="a.b/c", mode=0o400),
            TrustFile("z", signer="a.b/c", selector=wanted, mode=0o400),
        )
    )


@pytest.mark.parametrize(
    ("labels", "taken"),
    [
        ({"a": "b", "c": ""}, True),
        ({"a": "b", "c": "", "d": "f"}, True),
        ({"a": "b", "c": "", "d": "e"}, False),
        ({"a": "x", "c": ""}, False),
        ({"a": "b"}, False),
        ({"a": "b", "c": "", "f": ""}, False),
    ],
)
def test_a_selector_takes_what_holds_all_its_requirements(labels: dict[str, str], taken: bool) -> None:
    requirements = (
        Requirement("a", "In", ("b",)),
        Requirement("c", "Exists"),
        Requirement("d", "NotIn", ("e",)),
        Requirement("f", "DoesNotExist"),
    )
    assert Selector(requirements).takes(labels) is taken
    assert Selector().takes(labels)


def test_mounts() -> None:
    parsed = parse_pod(mounted(subPathExpr="a/$(B)", readOnly=True, recursiveReadOnly="Enabled"))
    assert parsed.containers[0].mounts == (Mount("v", "/v", True, "", "a/$(B)"),)
    parsed = parse_pod(mounted(HOST, readOnly=True, recursiveReadOnly="IfPossible", mountPropagation="HostToContainer"))
    assert parsed.containers[0].mounts == (Mount("v", "/v", True),)
    assert parse_pod(mounted(subPath="..a/b..")).containers[0].mounts == (Mount("v", "/v", sub_path="..a/b.."),)


def images(*volumes: Any) -> Pod:
    listed = [{"name": f"v{index}", "image": {"reference": one}} for index, one in enumerate(volumes)]
    return parse_pod(pod(volumes=listed, initContainers=[container(name="i", image="a")]))


def test_every_image_is_named_once() -> None:
    found = images("b:1", "a", "b:1")
    assert found.image_references == (("a", "Always"), ("busybox:1.36", "IfNotPresent"), ("b:1", "IfNotPresent"))
    assert found.image_volumes == (("b:1", "IfNotPresent"), ("a", "Always"))
    assert images().image_volumes == ()


V = "spec.volumes[0]"
S = f"{V}.projected.sources[0]"
T = f"{V}.ephemeral.volumeClaimTemplate.spec"
M = "spec.containers[0].volumeMounts[0]"


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (volume(hostPath={}), f"{V}.hostPath.path", "is required"),
        (volume(hostPath={"path": "a"}), f"{V}.hostPath.path", "'a' must be an absolute path"),
        (volume(hostPath={"path": "/a/../b"}), f"{V}.hostPath.path", "'/a/../b' must not contain '..'"),
        (
            volume(hostPath={"path": "/a", "type": "directory"}),
            f"{V}.hostPath.type",
            f"'directory' is not one of {', '.join(HOST_TYPES[1:])}",
        ),
        (volume(persistentVolumeClaim={}), f"{V}.persistentVolumeClaim.claimName", "is required"),
        (volume(ephemeral={}), f"{V}.ephemeral.volumeClaimTemplate", "is required"),
        (
            ephemeral(accessModes=[]),
            f"{T}.accessModes",
            "is required: ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod",
        ),
        (
            ephemeral(accessModes=["RWO"]),
            f"{T}.accessModes[0]",
            "'RWO' is not one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany, ReadWriteOncePod",
        ),
        (
            ephemeral(accessModes=["ReadWriteOncePod", "ReadOnlyMany"]),
            f"{T}.accessModes",
            "must not have ReadWriteOncePod together with other modes",
        ),
        (ephemeral(resources={}), f"{T}.resources.requests[storage]", "is required: how much is wanted, such as 10Gi"),
        (
            ephemeral(resources={"requests": {"storage": 0}}),
            f"{T}.resources.requests[storage]",
            "0 must be more than 0",
        ),
        (ephemeral(volumeMode="Block"), f"{T}.volumeMode", "'Block' is not one of Filesystem"),
        (
            ephemeral(storageClassName=""),
            f"{T}.storageClassName",
            "is empty, which asks for a volume made by hand; leave it out for the site's default class",
        ),
        (
            pod(
                volumes=[{"name": "x" * 63, "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}],
                metadata={"name": "p" * 200},
            ),
            f"{V}.name",
            "has 264 characters; at most 253 are allowed",
        ),
        (
            pod(
                volumes=[
                    {"name": "a", "persistentVolumeClaim": {"claimName": "hello-b"}},
                    {"name": "b", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
                ]
            ),
            f"{V}.persistentVolumeClaim.claimName",
            "'hello-b' is made for an ephemeral volume of this pod; mount that one",
        ),
        (volume(image={}), f"{V}.image.reference", "is required"),
        (volume(image={"reference": "a "}), f"{V}.image.reference", "must not begin or end with white space"),
        (
            volume(image={"reference": "a", "pullPolicy": "x"}),
            f"{V}.image.pullPolicy",
            "'x' is not one of Always, IfNotPresent, Never",
        ),
        (
            projected({}),
            S,
            "must have exactly one of configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle",
        ),
        (
            projected({"secret": {"secretName": "s"}}),
            f"{S}.secret.secretName",
            "is not a field of Kubernetes' v1 API; known here are items, name, optional",
        ),
        (projected({"secret": {}}), f"{S}.secret.name", "is required"),
        (
            projected(defaultMode=512),
            f"{V}.projected.defaultMode",
            "512 is not between 0 and 511: permission bits, 0 to 0777 (511 in decimal)",
        ),
        (projected({"serviceAccountToken": {}}), f"{S}.serviceAccountToken.path", "is required"),
        (
            projected({"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}),
            f"{S}.serviceAccountToken.expirationSeconds",
            "599 is not between 600 and 4294967296",
        ),
        (
            projected({"clusterTrustBundle": {"path": "t"}}),
            f"{S}.clusterTrustBundle",
            "must have exactly one of name, signerName",
        ),
        (
            projected({"clusterTrustBundle": {"path": "t", "name": "a", "labelSelector": {}}}),
            f"{S}.clusterTrustBundle.labelSelector",
            "must not be given together with name",
        ),
        (
            projected({"clusterTrustBundle": {"path": "t", "signerName": "a/b"}}),
            f"{S}.clusterTrustBundle.signerName",
            "'a/b' is not valid: a domain and a path such as example.com/signer",
        ),
        (
            projected(
                {
                    "clusterTrustBundle": {
                        "path": "t",
                        "signerName": "a.b/c",
                        "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                    }
                }
            ),
            f"{S}.clusterTrustBundle.labelSelector.matchExpressions[0].values",
            "must be given with the operator In",
        ),
        (
            projected({"serviceAccountToken": {"path": "t"}}, {"clusterTrustBundle": {"path": "./t", "name": "a"}}),
            f"{V}.projected.sources",
            "two files have the path 't'",
        ),
        (
            projected({"serviceAccountToken": {"path": "t"}}, {"clusterTrustBundle": {"path": "t/u", "name": "a"}}),
            f"{V}.projected.sources",
            "'t' is a file, and so cannot hold 't/u'",
        ),
        *(
            (projected({"serviceAccountToken": {"path": path}}), f"{S}.serviceAccountToken.path", problem)
            for path, problem in [
                ("/t", "'/t' must be a relative path"),
                ("a/../t", "'a/../t' must not climb with '..' nor begin with it"),
                ("..t", "'..t' must not climb with '..' nor begin with it"),
                ("./", "'./' must name a file"),
                (LONG, "is longer than 4096 bytes, or a part of it than 255"),
            ]
        ),
        (
            projected({"downwardAPI": {"items": [{"path": "a"}]}}),
            f"{S}.downwardAPI.items[0]",
            "must have exactly one of fieldRef, resourceFieldRef",
        ),
        (
            projected({"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}}),
            f"{S}.downwardAPI.items[0].resourceFieldRef.containerName",
            "is required",
        ),
        (
            projected(
                {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {**LIMIT, "containerName": "other"}}]}}
            ),
            f"{S}.downwardAPI.items[0].resourceFieldRef.containerName",
            "'other' is not a container of this pod",
        ),
        (mounted(subPath="a", subPathExpr="b"), f"{M}.subPathExpr", "must not be given together with subPath"),
        (mounted(subPathExpr="/$(A)"), f"{M}.subPathExpr", "'/$(A)' must be a relative path"),
        (mounted(subPathExpr="a/.."), f"{M}.subPathExpr", "'a/..' must not climb with '..'"),
        (mounted(recursiveReadOnly="Enabled"), f"{M}.recursiveReadOnly", "needs readOnly: true"),
        (
            mounted(HOST, readOnly=True, recursiveReadOnly="Enabled"),
            f"{M}.recursiveReadOnly",
            "cannot be promised for a directory of the site; use IfPossible",
        ),
        (
            mounted(mountPropagation="Bidirectional"),
            f"{M}.mountPropagation",
            "Bidirectional is not possible for an ordinary user; leave it out",
        ),
        (mounted(mountPropagation="x"), f"{M}.mountPropagation", "'x' is not one of None, HostToContainer"),
        (pod(hostAliases=[{"ip": "10.0.0"}]), "spec.hostAliases[0].ip", "'10.0.0' is not an IP address"),
        (
            pod(hostAliases=[{"ip": "::1", "hostnames": ["A"]}]),
            "spec.hostAliases[0].hostnames[0]",
            "'A' is not valid: lower-case letters, digits and '-' or '.', beginning and ending with a letter or digit",
        ),
        (pod(readinessGates=[{}]), "spec.readinessGates[0].conditionType", "is required"),
        (
            pod(shareProcessNamespace="yes"),
            "spec.shareProcessNamespace",
            "is the text 'yes', but must be true or false",
        ),
    ],
)
def test_refused(document: Any, field: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(document)
    assert (caught.value.field, caught.value.problem) == (field, problem)
