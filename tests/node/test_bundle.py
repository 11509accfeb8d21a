from __future__ import annotations

from typing import Any

import pytest

from farnode.model.bundle import parse_bundle
from farnode.node.pods.bundle import Found, bundle, lean

from .samples import ACCESS, UID, container, pod

OTHER = "0b1f5a8f-8a53-4f5e-9d57-6f1c2b1e9c11"


def test_what_the_site_does_not_see() -> None:
    given = pod(
        metadata={"labels": {"a": "b"}, "annotations": {"c": "d"}, "ownerReferences": [{"kind": "Job"}]},
        ephemeralContainers=[container("debugger")],
        affinity={"nodeAffinity": {}},
    )
    made = bundle(given, Found())["pod"]
    assert made["metadata"].keys() == {"name", "namespace", "uid", "labels", "annotations"}
    assert "status" not in made
    assert made["spec"].keys() == {
        *("containers", "nodeName", "restartPolicy", "priority", "securityContext", "serviceAccountName"),
        *("terminationGracePeriodSeconds", "volumes"),
    }


def test_fields_that_the_user_gave_stay_for_the_site_to_speak_of() -> None:
    given = pod(dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.10"]}, enableServiceLinks=False)
    assert bundle(given, Found())["pod"]["spec"].keys() >= {"dnsPolicy", "dnsConfig", "enableServiceLinks"}


def test_the_site_has_nothing_to_say_of_what_admission_added() -> None:
    found = Found((root_ca(),), tokens=(token(),))
    read = parse_bundle(bundle(pod(metadata={"ownerReferences": [{"kind": "Job"}], "generateName": "h"}), found))
    assert read.pod.ignored == ()


MOUNT = {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}


def mounted(volume: str, uid: str = UID) -> Any:
    """As admission makes it."""
    main = container(volumeMounts=[{"name": volume, **MOUNT}])
    return pod(metadata={"uid": uid}, containers=[main], volumes=[{**ACCESS, "name": volume}])


def test_the_automatic_token_is_mounted() -> None:
    read = parse_bundle(bundle(mounted("kube-api-access-x7k2p"), Found((root_ca(),), tokens=(token(),))))
    [mount] = read.pod.containers[0].mounts
    assert mount.path == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [volume.name for volume in read.pod.volumes] == [mount.volume] == ["kube-api-access-token"]


def test_pods_of_one_kind_are_alike() -> None:
    """And each has its own token."""
    other = {**token(), "token": "another"}
    documents = [
        bundle(mounted("kube-api-access-x7k2p"), Found((root_ca(),), tokens=(token(),))),
        bundle(mounted("kube-api-access-9grtw", OTHER), Found((root_ca(),), tokens=(other,))),
    ]
    first, second = map(parse_bundle, documents)
    assert second.pod.containers is first.pod.containers
    assert [one.inputs.tokens for one in (first, second)] == [{"": "secret-token"}, {"": "another"}]
    assert (second.pod.uid, second.document) == (OTHER, documents[1])


def test_volumes_that_are_named_alike_keep_their_names() -> None:
    volumes = [ACCESS, {**ACCESS, "name": "kube-api-access-token"}]
    made = bundle(pod(volumes=volumes), Found())["pod"]
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["kube-api-access-x7k2p", "kube-api-access-token"]


def test_all_that_is_found_is_read() -> None:
    volumes = [
        {"name": "c", "configMap": {"name": "settings"}},
        {"name": "s", "secret": {"secretName": "key"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    config_map = lean({**root_ca(), "metadata": {"name": "settings", "namespace": "default"}})
    secret = {"metadata": {"name": "key", "namespace": "default"}, "data": {"k": "dg=="}, "type": "Opaque"}
    claim = {
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv"},
    }
    read = parse_bundle(bundle(pod(volumes=volumes), Found((config_map,), (secret,), (claim,), (), (token(),))))
    assert read.config_maps["settings"].data == {"ca.crt": b"PEM"}
    assert read.secrets["key"].data == {"k": b"v"}
    assert [one.name for one in read.claims] == ["data"]
    assert read.inputs.tokens == {"": "secret-token"}


def test_objects_are_lean() -> None:
    made = lean(
        {
            **root_ca(),
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "status": {"phase": "Bound"},
            "metadata": {
                "name": "kube-root-ca.crt",
                "namespace": "default",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "managedFields": [],
                "resourceVersion": "7",
                "uid": "u",
            },
        }
    )
    assert made == root_ca()


@pytest.mark.parametrize("secret", ["secret-token", "dg=="])
def test_what_is_found_does_not_show_secrets(secret: str) -> None:
    found = Found(secrets=({"data": {"k": "dg=="}},), tokens=(token(),))
    assert secret not in repr(found)


def root_ca() -> dict[str, Any]:
    return {"metadata": {"name": "kube-root-ca.crt", "namespace": "default"}, "data": {"ca.crt": "PEM"}}


def token() -> dict[str, Any]:
    return {
        "audience": "",
        "token": "secret-token",
        "expirationSeconds": 3607,
        "expirationTimestamp": "2027-01-15T09:00:07Z",
    }
