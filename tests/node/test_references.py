from __future__ import annotations

import pytest

from farnode.node.pods.missing import Missing, check
from farnode.node.pods.references import CLAIMS, CONFIG_MAPS, SECRETS, TokenUse, TrustUse, Use, references

from .samples import container, pod


def test_what_every_pod_refers_to() -> None:
    wanted = references(pod())
    assert wanted.uses == (Use(CONFIG_MAPS, "kube-root-ca.crt", keys=("ca.crt",), volume="kube-api-access-x7k2p"),)
    assert wanted.tokens == (TokenUse("", 3607, "kube-api-access-x7k2p"),)
    assert wanted.trust_bundles == ()


def test_variables() -> None:
    key = {"configMapKeyRef": {"name": "a", "key": "k"}}
    secret = {"secretKeyRef": {"name": "b", "key": "k", "optional": True}}
    init = container("init", envFrom=[{"secretRef": {"name": "c"}}, {"configMapRef": {"name": "d", "optional": True}}])
    main = container(env=[{"name": "A", "valueFrom": key}, {"name": "B", "valueFrom": secret}, {"name": "C"}])
    wanted = references(pod(initContainers=[init], containers=[main], volumes=[]))
    assert wanted.uses == (
        Use(SECRETS, "c"),
        Use(CONFIG_MAPS, "d", optional=True),
        Use(CONFIG_MAPS, "a", keys=("k",)),
        Use(SECRETS, "b", optional=True, keys=("k",)),
    )


def test_volumes_come_before_variables() -> None:
    volumes = [
        {"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}},
        {"name": "w", "configMap": {"name": "c", "optional": True}},
        {"name": "x", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "y", "projected": {"sources": [{"secret": {"name": "t"}}]}},
        {"name": "z", "emptyDir": {}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]
    wanted = references(pod(containers=[container(envFrom=[{"secretRef": {"name": "f"}}])], volumes=volumes))
    assert wanted.uses == (
        Use(SECRETS, "s", keys=("k",), volume="v"),
        Use(CONFIG_MAPS, "c", optional=True, volume="w"),
        Use(CLAIMS, "data", volume="x"),
        Use(SECRETS, "t", volume="y"),
        Use(SECRETS, "f"),
    )


def test_secrets_to_pull_with() -> None:
    wanted = references(pod(imagePullSecrets=[{"name": "registry"}, {}], volumes=[]))
    assert wanted.uses == (Use(SECRETS, "registry", optional=True, pull=True),)


def test_one_token_of_each_audience() -> None:
    def token(audience: str, seconds: int) -> object:
        return {"serviceAccountToken": {"audience": audience, "expirationSeconds": seconds, "path": audience}}

    sources = [token("vault", 7200), token("vault", 600), {"serviceAccountToken": {"path": "own"}}]
    wanted = references(pod(volumes=[{"name": "v", "projected": {"sources": sources}}]))
    assert wanted.tokens == (TokenUse("vault", 600, "v"), TokenUse("", 3600, "v"))


def test_trust_bundles() -> None:
    sources = [
        {"clusterTrustBundle": {"name": "roots", "path": "a"}},
        {"clusterTrustBundle": {"signerName": "example.com/ca", "optional": True, "path": "b"}},
    ]
    wanted = references(pod(volumes=[{"name": "v", "projected": {"sources": sources}}]))
    assert wanted.trust_bundles == (TrustUse("roots", "", False, "v"), TrustUse("", "example.com/ca", True, "v"))


def test_a_pod_no_site_can_run_has_references_too() -> None:
    volumes = [{"name": "v", "nfs": {"server": "s", "path": "/"}}, {"name": "w", "secret": {"secretName": "s"}}]
    assert references(pod(volumes=volumes, hostPID=True)).uses == (Use(SECRETS, "s", volume="w"),)


@pytest.mark.parametrize(
    ("use", "found", "reason", "waiting", "words"),
    [
        (Use(CONFIG_MAPS, "x"), None, "Failed", "CreateContainerConfigError", 'Error: configmap "x" not found'),
        (
            Use(SECRETS, "x", keys=("k",)),
            {"data": {"other": ""}},
            "Failed",
            "CreateContainerConfigError",
            "Error: couldn't find key k in Secret default/x",
        ),
        (
            Use(CONFIG_MAPS, "x", volume="v"),
            None,
            "FailedMount",
            "ContainerCreating",
            'MountVolume.SetUp failed for volume "v" : configmap "x" not found',
        ),
        (
            Use(CLAIMS, "x", volume="v"),
            None,
            "FailedMount",
            "ContainerCreating",
            'MountVolume.SetUp failed for volume "v" : persistentvolumeclaim "x" not found',
        ),
        (
            Use(SECRETS, "x", keys=("k",), volume="v"),
            {},
            "FailedMount",
            "ContainerCreating",
            'MountVolume.SetUp failed for volume "v" : references non-existent secret key: k',
        ),
        (
            Use(CONFIG_MAPS, "x", keys=("k",), volume="v"),
            {"data": {}},
            "FailedMount",
            "ContainerCreating",
            'MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: k',
        ),
    ],
)
def test_what_is_missing(use: Use, found: dict[str, object] | None, reason: str, waiting: str, words: str) -> None:
    with pytest.raises(Missing) as missing:
        check(use, found, "default")
    assert (missing.value.reason, missing.value.waiting, missing.value.message) == (reason, waiting, words)
    assert str(missing.value) == words


@pytest.mark.parametrize(
    ("use", "found"),
    [
        (Use(CONFIG_MAPS, "x", optional=True, keys=("k",)), None),
        (Use(CONFIG_MAPS, "x", optional=True, keys=("k",)), {"data": {}}),
        (Use(CONFIG_MAPS, "x", keys=("k", "b")), {"data": {"k": ""}, "binaryData": {"b": ""}}),
        (Use(CLAIMS, "x", volume="v"), {"spec": {}}),
    ],
)
def test_what_is_not_missing(use: Use, found: dict[str, object] | None) -> None:
    check(use, found, "default")
