"""Claims, tokens and trust bundles that come with a pod, and what is made of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.bundle import Bundle, parse_bundle
from farnode.model.claim import ClaimWanted, HostPathWanted
from farnode.model.documents import read_bundles
from farnode.model.files import File, files_of
from farnode.model.gpu import demand
from farnode.model.projection import Projected

from .samples import UID, bundle, container, pod

CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500M"}}}}
ABSENT = "of namespace 'default', which does not come with the pod"
NO_TOKEN = "which only a cluster's API server gives; without one, mount a secret instead"
USES = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}


def projected(*sources: Any) -> Any:
    return pod(volumes=[{"name": "v", "projected": {"sources": list(sources)}}])


def token(path: str = "token", **fields: Any) -> Any:
    return {"serviceAccountToken": {"path": path, **fields}}


def trust(**fields: Any) -> Any:
    return {"clusterTrustBundle": {"path": "ca.crt", **fields}}


def certificate(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(text.encode()).decode()}\n-----END CERTIFICATE-----\n"


def trust_bundle(name: str, *certificates: str, signer: str = "", **labels: str) -> Any:
    spec = {"trustBundle": "".join(map(certificate, certificates)), **({"signerName": signer} if signer else {})}
    return {"kind": "ClusterTrustBundle", "metadata": {"name": name, "labels": labels}, "spec": spec}


BUNDLES = [
    trust_bundle("plain", "two", "one", "two"),
    trust_bundle("a.b:c:x", "one", "three", signer="a.b/c", live="yes"),
    trust_bundle("a.b:c:y", "three", "four", signer="a.b/c", live="yes"),
    trust_bundle("a.b:c:z", "five", signer="a.b/c", live="no"),
    trust_bundle("a.b:d:x", "six", signer="a.b/d", live="yes"),
]


def files(document: Any) -> tuple[File, ...]:
    made: Bundle = parse_bundle(document)
    source = made.pod.volumes[0].source
    assert isinstance(source, Projected)
    return files_of(source, made.pod, made.inputs, demand(made.pod))


def test_the_claims_of_a_pod() -> None:
    template = {"spec": {**CLAIM["spec"], "storageClassName": "fast", "accessModes": ["ReadWriteOncePod"]}}
    volumes = [
        USES,
        {"name": "w", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": template}},
        {"name": "h", "hostPath": {"path": "/scratch/", "type": "Directory"}},
    ]
    made = parse_bundle(bundle(pod(volumes=volumes), claims={"unused": CLAIM, "c": CLAIM}))
    place = "spec.volumes[2].ephemeral.volumeClaimTemplate.spec"
    assert made.claims == (
        ClaimWanted("c", None, 1_500_000_000, ("ReadWriteOnce",), ephemeral=False),
        ClaimWanted("hello-e", "fast", 1_500_000_000, ("ReadWriteOncePod",), ephemeral=True),
    )
    assert [claim.field for claim in made.claims] == ["persistentVolumeClaims[1].spec", place]
    assert made.host_paths == (HostPathWanted("spec.volumes[3].hostPath.path", "h", "/scratch", "Directory"),)


def test_a_claim_of_a_real_cluster() -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "c",
            "uid": UID,
            "annotations": {"pv.kubernetes.io/bind-completed": "yes"},
            "finalizers": ["kubernetes.io/pvc-protection"],
        },
        "spec": {**CLAIM["spec"], "storageClassName": "fast", "volumeMode": "Filesystem", "volumeName": "pvc-1"},
        "status": {"phase": "Bound"},
    }
    document = {**bundle(pod(volumes=[USES])), "persistentVolumeClaims": [claim]}
    assert [one.storage_class for one in parse_bundle(document).claims] == ["fast"]


def test_tokens_are_found_by_their_audience_and_not_shown() -> None:
    document = bundle(projected(token("a"), token("b", audience="vault", expirationSeconds=600)))
    document["serviceAccountTokens"] = [
        {"token": "first", "expirationSeconds": 3600, "expirationTimestamp": "2026-11-22T15:00:00Z"},
        {"token": "second", "audience": "vault"},
    ]
    assert files(document) == (File("a", 0o644, b"first"), File("b", 0o644, b"second"))
    assert "first" not in repr(parse_bundle(document))
    assert "first" not in repr(files(document))


@pytest.mark.parametrize(
    ("source", "certificates"),
    [
        ({"name": "plain"}, ["one", "two"]),
        ({"name": "a.b:c:z"}, ["five"]),
        ({"signerName": "a.b/c", "labelSelector": {"matchLabels": {"live": "yes"}}}, ["four", "one", "three"]),
        ({"signerName": "a.b/c", "labelSelector": {}}, ["five", "four", "one", "three"]),
        ({"signerName": "a.b/c", "optional": True}, []),
        ({"name": "absent", "optional": True}, []),
    ],
)
def test_trust_bundles_are_joined_each_certificate_once(source: Any, certificates: list[str]) -> None:
    document = {**bundle(projected(trust(**source))), "clusterTrustBundles": BUNDLES}
    [found] = files(document)
    assert found.data.decode() == "".join(map(certificate, certificates))


def test_long_certificates_are_wrapped_as_pem_is() -> None:
    document = {**bundle(projected(trust(name="a"))), "clusterTrustBundles": [trust_bundle("a", "x" * 100)]}
    [found] = files(document)
    assert [len(line) for line in found.data.decode().splitlines()] == [27, 64, 64, 8, 25]


def test_the_later_of_two_sources_counts() -> None:
    document = bundle(
        projected({"configMap": {"name": "c"}}, {"secret": {"name": "s"}}),
        config_maps={"c": {"data": {"a": "1", "b": "2"}}},
        secrets={"s": {"stringData": {"b": "3"}}},
    )
    assert files(document) == (File("a", 0o644, b"1"), File("b", 0o644, b"3"))


def test_claims_and_trust_bundles_of_files_are_joined_and_the_rest_left_out() -> None:
    documents = [
        pod(volumes=[USES, *projected(trust(name="plain"))["spec"]["volumes"]]),
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, **CLAIM},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "other"}, **CLAIM},
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "lab"}, **CLAIM},
        *BUNDLES,
    ]
    documents[0]["spec"]["volumes"][1]["name"] = "w"
    [made] = read_bundles([("x", json_list(documents))], lambda: UID)
    assert [one["metadata"] for one in made["persistentVolumeClaims"]] == [{"name": "c"}]
    assert [one["metadata"]["name"] for one in made["clusterTrustBundles"]] == ["plain"]


def test_all_trust_bundles_come_along_where_a_signer_chooses_among_them() -> None:
    documents = [projected(trust(signerName="a.b/d", labelSelector={})), *BUNDLES]
    [made] = read_bundles([("x", json_list(documents))], lambda: UID)
    assert len(made["clusterTrustBundles"]) == len(BUNDLES)
    assert files(made) == (File("ca.crt", 0o644, certificate("six").encode()),)


def json_list(documents: list[Any]) -> str:
    return json.dumps({"kind": "List", "items": documents})


def part(name: str, *items: Any) -> Any:
    return {**bundle(pod()), name: list(items)}


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (
            bundle(pod(volumes=[USES])),
            "spec.volumes[0].persistentVolumeClaim.claimName",
            f"needs the PersistentVolumeClaim 'c' {ABSENT}; add it",
        ),
        (
            bundle(projected(token())),
            "spec.volumes[0].projected.sources[0].serviceAccountToken",
            f"needs a token for the API server, {NO_TOKEN}",
        ),
        (
            bundle(projected(token(audience="vault"))),
            "spec.volumes[0].projected.sources[0].serviceAccountToken",
            f"needs a token for the audience 'vault', {NO_TOKEN}",
        ),
        (
            bundle(projected(trust(name="a"))),
            "spec.volumes[0].projected.sources[0].clusterTrustBundle",
            "needs a ClusterTrustBundle 'a'; add it, or set optional: true",
        ),
        (
            {**bundle(projected(trust(signerName="a.b/c"))), "clusterTrustBundles": BUNDLES},
            "spec.volumes[0].projected.sources[0].clusterTrustBundle",
            "needs a ClusterTrustBundle of the signer 'a.b/c' that labelSelector takes; add it, or set optional: true",
        ),
        (
            bundle(projected({"secret": {"name": "s"}})),
            "spec.volumes[0].projected.sources[0].secret",
            f"needs the Secret 's' {ABSENT}; add it, or set optional: true",
        ),
        (
            bundle(
                projected({"configMap": {"name": "c"}}, token("a/b")),
                config_maps={"c": {"data": {"a": ""}}},
            )
            | {"serviceAccountTokens": [{"token": "t"}]},
            "spec.volumes[0]",
            "'a' is a file, and so cannot hold 'a/b'",
        ),
        (
            part("persistentVolumeClaims", {"metadata": {"name": "c", "namespace": "lab"}, **CLAIM}),
            "persistentVolumeClaims[0].metadata.namespace",
            "must be the pod's, 'default'",
        ),
        (
            part("persistentVolumeClaims", *[{"metadata": {"name": "c"}, **CLAIM}] * 2),
            "persistentVolumeClaims[1].metadata.name",
            "there is already a PersistentVolumeClaim 'c' in this bundle",
        ),
        (
            part(
                "persistentVolumeClaims",
                {
                    "metadata": {"name": "c", "annotations": {"volume.beta.kubernetes.io/storage-class": "x"}},
                    **CLAIM,
                },
            ),
            "persistentVolumeClaims[0].metadata.annotations",
            "volume.beta.kubernetes.io/storage-class is out of use: give spec.storageClassName",
        ),
        (
            part("persistentVolumeClaims", {"metadata": {"name": "c"}, "spec": {"dataSourceRef": {"kind": "x"}}}),
            "persistentVolumeClaims[0].spec.dataSourceRef",
            "is not possible at a site: a claim begins empty; fill it with an init container",
        ),
        (part("serviceAccountTokens", {}), "serviceAccountTokens[0].token", "is required"),
        (
            part("serviceAccountTokens", {"token": 5}),
            "serviceAccountTokens[0].token",
            "must be text: put it in quotes",
        ),
        (
            part("serviceAccountTokens", {"token": "a"}, {"token": "b"}),
            "serviceAccountTokens[1].audience",
            "there is already a token for '' in this bundle",
        ),
        (
            part("clusterTrustBundles", trust_bundle("a:b:c", "x")),
            "clusterTrustBundles[0].metadata.name",
            "'a:b:c' must begin with its signerName, as in example.com:signer:name",
        ),
        (
            part("clusterTrustBundles", trust_bundle("a.b:c:d", "x", signer="a.b/d")),
            "clusterTrustBundles[0].metadata.name",
            "'a.b:c:d' must begin with its signerName, as in example.com:signer:name",
        ),
        (
            part("clusterTrustBundles", {"metadata": {"name": "a"}, "spec": {"trustBundle": "text"}}),
            "clusterTrustBundles[0].spec.trustBundle",
            "must be certificates in PEM, and nothing else: -----BEGIN CERTIFICATE----- …",
        ),
        (
            part(
                "clusterTrustBundles",
                {
                    "metadata": {"name": "a"},
                    "spec": {"trustBundle": certificate("x") + certificate("y").replace("CERTIFICATE", "PRIVATE KEY")},
                },
            ),
            "clusterTrustBundles[0].spec.trustBundle",
            "must be certificates in PEM, and nothing else: -----BEGIN CERTIFICATE----- …",
        ),
        (
            part("clusterTrustBundles", {"metadata": {"name": "a"}, "spec": {"trustBundle": "x" * 2**20 + "y"}}),
            "clusterTrustBundles[0].spec.trustBundle",
            "has more than 1048576 bytes, Kubernetes' limit",
        ),
        (
            part(
                "clusterTrustBundles",
                {
                    "metadata": {"name": "a"},
                    "spec": {"trustBundle": "-----BEGIN CERTIFICATE-----abc-----END CERTIFICATE-----"},
                },
            ),
            "clusterTrustBundles[0].spec.trustBundle",
            "holds a certificate that is not base64",
        ),
    ],
)
def test_refused(document: Any, field: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_bundle(document)
    assert (caught.value.field, caught.value.problem) == (field, problem)


def test_what_an_object_may_never_change_is_known() -> None:
    made = parse_bundle(bundle(pod(), config_maps={"c": {"immutable": True}}, secrets={"s": {"immutable": False}}))
    assert (made.config_maps["c"].immutable, made.secrets["s"].immutable) == (True, False)


def test_a_container_without_a_limit_is_told_that_of_its_pod() -> None:
    fields = {"resourceFieldRef": {"containerName": "main", "resource": "limits.memory"}}
    document = pod(
        volumes=[{"name": "v", "projected": {"sources": [{"downwardAPI": {"items": [{"path": "m", **fields}]}}]}}],
        resources={"limits": {"memory": "1Ki"}},
        containers=[container()],
    )
    assert files(bundle(document)) == (File("m", 0o644, b"1024"),)
