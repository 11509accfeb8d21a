from __future__ import annotations

from typing import Any

import pytest

from farnode.model.bundle import parse_bundle
from farnode.node.pods.bundle import Found, bundle, lean

from .samples import container, pod


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
