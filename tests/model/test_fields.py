from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.fields import KINDS, check_fields
from farnode.model.pod import parse_pod

from .samples import container, one, pod

# The fields of Kubernetes 1.36, from its API reference.
API = {
    "spec": """activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy
        enableServiceLinks ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname
        hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead preemptionPolicy priority
        priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName schedulerName
        schedulingGates schedulingGroup securityContext serviceAccount serviceAccountName setHostnameAsFQDN
        shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes""",
    "container": """args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe
        resizePolicy resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce
        terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir""",
    "securityContext": """allowPrivilegeEscalation appArmorProfile capabilities privileged procMount
        readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser seLinuxOptions seccompProfile windowsOptions""",
    "podSecurityContext": """appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser
        seLinuxChangePolicy seLinuxOptions seccompProfile supplementalGroups supplementalGroupsPolicy sysctls
        windowsOptions""",
    "volume": """awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc
        flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi name nfs persistentVolumeClaim
        photonPersistentDisk portworxVolume projected quobyte rbd scaleIO secret storageos vsphereVolume""",
    "volumeMount": "mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr",
    "metadata": """annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName
        generation labels managedFields name namespace ownerReferences resourceVersion selfLink uid""",
    "envSource": "configMapKeyRef fieldRef fileKeyRef resourceFieldRef secretKeyRef",
    "port": "containerPort hostIP hostPort name protocol",
    "probe": """exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds successThreshold tcpSocket
        terminationGracePeriodSeconds timeoutSeconds""",
    "lifecycle": "postStart preStop stopSignal",
    "hook": "exec httpGet sleep tcpSocket",
    "exec": "command",
    "httpGet": "host httpHeaders path port scheme",
    "tcpSocket": "host port",
    "sleep": "seconds",
    "restartRule": "action exitCodes",
    "exitCodes": "operator values",
    "hostAlias": "hostnames ip",
    "readinessGate": "conditionType",
    "projectedVolume": "defaultMode sources",
    "projection": "clusterTrustBundle configMap downwardAPI podCertificate secret serviceAccountToken",
    "objectProjection": "items name optional",
    "downwardProjection": "items",
    "downwardItem": "fieldRef mode path resourceFieldRef",
    "tokenProjection": "audience expirationSeconds path",
    "trustProjection": "labelSelector name optional path signerName",
    "imageVolume": "pullPolicy reference",
    "hostPath": "path type",
    "claimVolume": "claimName readOnly",
    "ephemeralVolume": "volumeClaimTemplate",
    "claimTemplate": "metadata spec",
    "claim": "apiVersion kind metadata spec status",
    "claimSpec": """accessModes dataSource dataSourceRef resources selector storageClassName volumeAttributesClassName
        volumeMode volumeName""",
    "trustBundleSpec": "signerName trustBundle",
}


def test_every_refusal_says_what_to_do_instead() -> None:
    words = {words for table in KINDS.values() for words in table.refused.values()}
    assert {
        one for one in words if not any(way in one for way in (" use ", "leave it out", "ask ", "put ", "set "))
    } == {
        "is not allowed at a site; share memory by an emptyDir of medium Memory",
        "is not possible at a site: a claim begins empty; fill it with an init container",
        "is not supported; read the file in the container's command",
    }


@pytest.mark.parametrize("kind", API)
def test_every_field_of_the_api_has_its_place(kind: str) -> None:
    table = KINDS[kind]
    known = [*table.honoured, *table.harmless, *table.refused]
    assert len(known) == len(set(known))
    assert set(API[kind].split()) <= set(known)


def test_every_kind_named_exists_and_every_word_is_said() -> None:
    for table in KINDS.values():
        assert all(not below or below in KINDS for below in table.honoured.values())
        assert all([*table.harmless.values(), *table.refused.values()]) or not (table.harmless or table.refused)


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (one(livenessProbe={"grpc": {"port": 1}}), "spec.containers[0].livenessProbe.grpc", "grpc_health_probe"),
        (
            one(lifecycle={"preStop": {"tcpSocket": {"port": 1}}}),
            "spec.containers[0].lifecycle.preStop.tcpSocket",
            "has no effect in Kubernetes either; use exec, httpGet or sleep",
        ),
        (one(volumeDevices=[{}]), "spec.containers[0].volumeDevices", "use volumeMounts"),
        (one(securityContext={"privileged": True}), "spec.containers[0].securityContext.privileged", "ordinary user"),
        (
            one(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
            "spec.containers[0].securityContext.capabilities.add",
            "is not allowed",
        ),
        (pod(os={"name": "windows"}), "spec.os.name", "'windows' is not one of linux"),
        (pod(hostPID=True), "spec.hostPID", "use shareProcessNamespace"),
        (pod(hostIPC=True), "spec.hostIPC", "an emptyDir of medium Memory"),
        (pod(ephemeralContainers=[{}]), "spec.ephemeralContainers", "use exec"),
        (pod(resourceClaims=[{"name": "x"}]), "spec.resourceClaims", "resources.limits"),
        (pod(securityContext={"sysctls": [{}]}), "spec.securityContext.sysctls", "leave it out"),
        (one(resources={"claims": [{"name": "x"}]}), "spec.containers[0].resources.claims", "nvidia.com/gpu"),
        (
            pod(volumes=[{"name": "a", "nfs": {"server": "s"}}]),
            "spec.volumes[0].nfs",
            "is not possible for an ordinary user; use a persistentVolumeClaim, or a hostPath that the site offers",
        ),
        (pod(volumes=[{"name": "a", "csi": {"driver": "d"}}]), "spec.volumes[0].csi", "use a persistentVolumeClaim"),
        (
            pod(volumes=[{"name": "a", "projected": {"sources": [{"podCertificate": {"keyType": "x"}}]}}]),
            "spec.volumes[0].projected.sources[0].podCertificate",
            "put a certificate into a secret",
        ),
        (
            pod(volumes=[{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {"selector": {"a": "b"}}}}}]),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.selector",
            "use storageClassName",
        ),
        (
            pod(volumes=[{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {"dataSource": {"a": "b"}}}}}]),
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.dataSource",
            "a claim begins empty; fill it with an init container",
        ),
        (
            one(env=[{"valueFrom": {"fileKeyRef": {"a": "b"}}}]),
            "spec.containers[0].env[0].valueFrom.fileKeyRef",
            "read",
        ),
        (one(comand=["ls"]), "spec.containers[0].comand", "did you mean command?"),
        (pod(restartpolicy="Never"), "spec.restartpolicy", "did you mean restartPolicy?"),
        (pod(zzz=1), "spec.zzz", "known here are activeDeadlineSeconds"),
        (pod(metadata={"lables": {}}), "metadata.lables", "did you mean labels?"),
        ({**pod(), "sepc": {}}, "sepc", "did you mean spec?"),
    ],
)
def test_refused(document: Any, field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(document)
    assert caught.value.field == field
    assert words in caught.value.problem


def test_a_field_that_says_nothing_is_as_good_as_absent() -> None:
    document = pod(
        containers=[
            container(
                livenessProbe=None,
                lifecycle={},
                securityContext={"privileged": False, "capabilities": {"add": [], "drop": ["ALL"]}},
                volumeDevices=[],
            )
        ],
        hostPID=False,
        shareProcessNamespace=False,
        ephemeralContainers=[],
    )
    assert [ignored.field for ignored in parse_pod(document).ignored] == [
        "spec.containers[0].securityContext.capabilities.drop"
    ]


def test_what_is_ignored_is_told_with_its_reason() -> None:
    document = pod(
        securityContext={"runAsUser": 0, "fsGroup": 100, "runAsNonRoot": False},
        hostNetwork=True,
        tolerations=[{"operator": "Exists"}],
    )
    ignored = {item.field: item.reason for item in parse_pod(document).ignored}
    assert list(ignored) == [
        "spec.securityContext.runAsUser",
        "spec.securityContext.fsGroup",
        "spec.hostNetwork",
        "spec.tolerations",
    ]
    assert ignored["spec.securityContext.runAsUser"] == "containers run as the site's user, without privileges"


def test_a_pod_of_a_real_api_server() -> None:
    """What admission and defaulting add is not refused; the automatic token's volume and mounts are dropped."""
    mount = {
        "name": "kube-api-access-x7k2p",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": True,
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "job-0-abcde",
            "generateName": "job-0-",
            "namespace": "default",
            "uid": "6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11",
            "resourceVersion": "4711",
            "generation": 1,
            "creationTimestamp": "2026-11-22T14:00:00Z",
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "ownerReferences": [{"kind": "Job", "name": "job"}],
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "volumes": [
                {
                    "name": "kube-api-access-x7k2p",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}],
                        "defaultMode": 420,
                    },
                },
                {"name": "work", "emptyDir": {}},
            ],
            "initContainers": [{"name": "init", "image": "busybox:1", "volumeMounts": [mount]}],
            "containers": [
                {
                    "name": "main",
                    "image": "busybox:1",
                    "resources": {},
                    "volumeMounts": [{"name": "work", "mountPath": "/work"}, mount],
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "nodeName": "site-a",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }
    parsed = parse_pod(document)
    assert [volume.name for volume in parsed.volumes] == ["work"]
    assert [mount.path for mount in parsed.containers[0].mounts] == ["/work"]
    assert parsed.init_containers[0].mounts == ()


def test_unknown_kinds_of_objects_are_looked_at_too() -> None:
    with pytest.raises(Invalid, match=r"configMaps\[0\]\.dta: .*did you mean data"):
        check_fields({"dta": {}}, "configMap", "configMaps[0]")
