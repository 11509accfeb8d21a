"""Every field of v1.Pod (Kubernetes 1.36), in one table: honoured, harmless, or refused with what to use instead.

A pod is never run as if a field that changes its behaviour were not there. A harmless field is one whose absence the
containers cannot notice, or whose effect the site gives anyway; pods that come from an API server are full of them.
A refused field is refused only where it says something: `false`, empty text, lists and objects are as good as absent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farnode.errors import Invalid


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of object. `honoured` maps each field that is read to the kind of what is in it ("" for plain values);
    `harmless` and `refused` map fields to their words."""

    honoured: Mapping[str, str]
    harmless: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A harmless field that a pod gives, and why it makes no difference here."""

    field: str
    reason: str


def _plain(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


def _all(names: str, words: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), words)


_LATER = "is not supported; "
_CLUSTER = "is used by the cluster, before a pod reaches the site"
_SITE_USER = "containers run as the site's user, without privileges"
_HOST_NETWORK = "containers use the network of the host they run on"
_STATE = "is the API server's bookkeeping"
_STORAGE = "is not possible for an ordinary user; use a persistentVolumeClaim, or a hostPath that the site offers"
_DATA = "is not possible at a site: a claim begins empty; fill it with an init container"
_OWNERSHIP = "files belong to the site's user; leave it out"

_CONTAINER = Kind(
    honoured={
        **_plain("name image imagePullPolicy command args workingDir tty stdin stdinOnce restartPolicy"),
        **_plain("terminationMessagePath terminationMessagePolicy"),
        "env": "env",
        "envFrom": "envFrom",
        "resources": "resources",
        "volumeMounts": "volumeMount",
        "ports": "port",
        "securityContext": "securityContext",
        "livenessProbe": "probe",
        "readinessProbe": "probe",
        "startupProbe": "probe",
        "lifecycle": "lifecycle",
        "restartPolicyRules": "restartRule",
    },
    harmless={"resizePolicy": "a running pod is not resized at a site"},
    refused={"volumeDevices": "is not possible for an ordinary user; use volumeMounts"},
)

KINDS: Mapping[str, Kind] = {
    "pod": Kind({**_plain("apiVersion kind"), "metadata": "metadata", "spec": "spec"}, {"status": _STATE}),
    "metadata": Kind(
        _plain("name namespace uid labels annotations"),
        {
            **_all("creationTimestamp deletionTimestamp deletionGracePeriodSeconds finalizers generation", _STATE),
            **_all("managedFields ownerReferences resourceVersion selfLink generateName", _STATE),
        },
    ),
    "spec": Kind(
        honoured={
            **_plain("restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds hostname nodeSelector"),
            **_plain("serviceAccountName shareProcessNamespace priority nodeName"),
            "hostAliases": "hostAlias",
            "readinessGates": "readinessGate",
            "resources": "resources",
            "imagePullSecrets": "localReference",
            "initContainers": "container",
            "containers": "container",
            "volumes": "volume",
            "securityContext": "podSecurityContext",
            "os": "os",
        },
        harmless={
            **_all("affinity overhead preemptionPolicy priorityClassName", _CLUSTER),
            **_all("schedulerName schedulingGates schedulingGroup", _CLUSTER),
            **_all("tolerations topologySpreadConstraints evictionResponders", _CLUSTER),
            **_all("dnsConfig dnsPolicy enableServiceLinks hostNetwork subdomain", _HOST_NETWORK),
            **_all("hostUsers", _SITE_USER),
            **_all("setHostnameAsFQDN hostnameOverride", "a host of the site keeps its name"),
            "runtimeClassName": "the site's runtime is used; choose with farnode.io/runtime",
            "serviceAccount": "is the old name of serviceAccountName",
            "automountServiceAccountToken": _CLUSTER,
        },
        refused={
            "ephemeralContainers": "is not possible at a site; use exec into a container of the pod",
            "hostPID": "is not allowed at a site; use shareProcessNamespace for the processes of the pod",
            "hostIPC": "is not allowed at a site; share memory by an emptyDir of medium Memory",
            "resourceClaims": "is not possible at a site; ask for GPUs by resources.limits of a container",
        },
    ),
    "hostAlias": Kind(_plain("ip hostnames")),
    "readinessGate": Kind(_plain("conditionType")),
    "podSecurityContext": Kind(
        {},
        {
            **_all("runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy", _SITE_USER),
            **_all("supplementalGroups supplementalGroupsPolicy", _SITE_USER),
            **_all("seccompProfile appArmorProfile seLinuxOptions seLinuxChangePolicy", "the site's own policy holds"),
            "windowsOptions": "sites run Linux",
        },
        {"sysctls": "is not possible for an ordinary user; leave it out, the site's own settings hold"},
    ),
    "os": Kind(_plain("name")),
    "container": _CONTAINER,
    "probe": Kind(
        {
            **_plain("initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold"),
            "terminationGracePeriodSeconds": "",
            "exec": "exec",
            "httpGet": "httpGet",
            "tcpSocket": "tcpSocket",
        },
        {},
        {"grpc": _LATER + "use exec with a client such as grpc_health_probe, or tcpSocket"},
    ),
    "lifecycle": Kind({"stopSignal": "", "postStart": "hook", "preStop": "hook"}),
    "hook": Kind(
        {"exec": "exec", "httpGet": "httpGet", "sleep": "sleep"},
        {},
        {"tcpSocket": "has no effect in Kubernetes either; use exec, httpGet or sleep"},
    ),
    "exec": Kind(_plain("command")),
    "httpGet": Kind({**_plain("host path port scheme"), "httpHeaders": "httpHeader"}),
    "httpHeader": Kind(_plain("name value")),
    "tcpSocket": Kind(_plain("host port")),
    "sleep": Kind(_plain("seconds")),
    "restartRule": Kind({"action": "", "exitCodes": "exitCodes"}),
    "exitCodes": Kind(_plain("operator values")),
    "securityContext": Kind(
        {"readOnlyRootFilesystem": "", "capabilities": "capabilities"},
        {
            **_all("runAsUser runAsGroup runAsNonRoot allowPrivilegeEscalation", _SITE_USER),
            **_all("seccompProfile appArmorProfile seLinuxOptions procMount", "the site's own policy holds"),
            "windowsOptions": "sites run Linux",
        },
        {"privileged": "is not allowed at a site: containers run as an ordinary user; leave it out"},
    ),
    "capabilities": Kind(
        {},
        {"drop": "containers have no capabilities"},
        {"add": "is not allowed at a site: containers run as an ordinary user; leave it out"},
    ),
    "env": Kind({**_plain("name value"), "valueFrom": "envSource"}),
    "envSource": Kind(
        {
            "configMapKeyRef": "keyReference",
            "secretKeyRef": "keyReference",
            "fieldRef": "fieldReference",
            "resourceFieldRef": "resourceReference",
        },
        {},
        {"fileKeyRef": _LATER + "read the file in the container's command"},
    ),
    "keyReference": Kind(_plain("name key optional")),
    "fieldReference": Kind(_plain("apiVersion fieldPath")),
    "resourceReference": Kind(_plain("containerName resource divisor")),
    "envFrom": Kind({"prefix": "", "configMapRef": "optionalReference", "secretRef": "optionalReference"}),
    "optionalReference": Kind(_plain("name optional")),
    "localReference": Kind(_plain("name")),
    "resources": Kind(
        _plain("requests limits"), {}, {"claims": _LATER + "ask for GPUs by limits, such as nvidia.com/gpu: 1"}
    ),
    "port": Kind(_plain("name containerPort protocol hostPort hostIP")),
    "volumeMount": Kind(
        _plain("name mountPath readOnly subPath subPathExpr recursiveReadOnly mountPropagation"),
        {"bindMountOptions": "the site's own options hold"},
    ),
    "volume": Kind(
        {
            "name": "",
            "emptyDir": "emptyDir",
            "configMap": "configMapVolume",
            "secret": "secretVolume",
            "downwardAPI": "downwardVolume",
            "projected": "projectedVolume",
            "persistentVolumeClaim": "claimVolume",
            "ephemeral": "ephemeralVolume",
            "hostPath": "hostPath",
            "image": "imageVolume",
        },
        {},
        {
            **_all("csi nfs cephfs iscsi glusterfs rbd cinder fc gitRepo", _STORAGE),
            **_all("awsElasticBlockStore azureDisk azureFile gcePersistentDisk vsphereVolume flexVolume", _STORAGE),
            **_all("flocker quobyte photonPersistentDisk portworxVolume scaleIO storageos", _STORAGE),
        },
    ),
    "emptyDir": Kind(_plain("medium sizeLimit"), {}, {"mode": _LATER + "set it in the container's command"}),
    "hostPath": Kind(_plain("path type")),
    "imageVolume": Kind(_plain("reference pullPolicy")),
    "claimVolume": Kind(_plain("claimName readOnly")),
    "ephemeralVolume": Kind({"volumeClaimTemplate": "claimTemplate"}),
    "claimTemplate": Kind(
        {"spec": "claimSpec"}, {"metadata": "labels and annotations of a claim are for the cluster's own storage"}
    ),
    "claim": Kind({**_plain("apiVersion kind"), "metadata": "metadata", "spec": "claimSpec"}, {"status": _STATE}),
    "claimSpec": Kind(
        {**_plain("accessModes storageClassName volumeMode"), "resources": "claimResources"},
        {"volumeName": "the site makes the volume"},
        {
            "selector": "is not possible at a site, which makes the volume itself; use storageClassName",
            "volumeAttributesClassName": "is not possible at a site; use storageClassName",
            **_all("dataSource dataSourceRef", _DATA),
        },
    ),
    "claimResources": Kind(_plain("requests"), {"limits": "the request is what is set aside"}),
    "projectedVolume": Kind({"defaultMode": "", "sources": "projection"}, {}, {"defaultUser": _OWNERSHIP}),
    "projection": Kind(
        {
            "configMap": "objectProjection",
            "secret": "objectProjection",
            "downwardAPI": "downwardProjection",
            "serviceAccountToken": "tokenProjection",
            "clusterTrustBundle": "trustProjection",
        },
        {},
        {"podCertificate": "is not possible at a site; put a certificate into a secret"},
    ),
    "objectProjection": Kind({**_plain("name optional"), "items": "keyToPath"}),
    "downwardProjection": Kind({"items": "downwardItem"}),
    "tokenProjection": Kind(_plain("audience expirationSeconds path"), {}, {"user": _OWNERSHIP}),
    "trustProjection": Kind(
        {**_plain("name signerName optional path"), "labelSelector": "labelSelector"}, {}, {"user": _OWNERSHIP}
    ),
    "labelSelector": Kind({"matchLabels": "", "matchExpressions": "labelRequirement"}),
    "labelRequirement": Kind(_plain("key operator values")),
    "configMapVolume": Kind(
        {**_plain("name defaultMode optional"), "items": "keyToPath"}, {}, {"defaultUser": _OWNERSHIP}
    ),
    "secretVolume": Kind(
        {**_plain("secretName defaultMode optional"), "items": "keyToPath"}, {}, {"defaultUser": _OWNERSHIP}
    ),
    "downwardVolume": Kind({"defaultMode": "", "items": "downwardItem"}, {}, {"defaultUser": _OWNERSHIP}),
    "keyToPath": Kind(_plain("key path mode"), {}, {"user": _OWNERSHIP}),
    "downwardItem": Kind(
        {**_plain("path mode"), "fieldRef": "fieldReference", "resourceFieldRef": "resourceReference"},
        {},
        {"user": _OWNERSHIP},
    ),
    "configMap": Kind({**_plain("apiVersion kind data binaryData immutable"), "metadata": "metadata"}),
    "secret": Kind({**_plain("apiVersion kind data stringData type immutable"), "metadata": "metadata"}),
    "trustBundle": Kind({**_plain("apiVersion kind"), "metadata": "metadata", "spec": "trustBundleSpec"}),
    "trustBundleSpec": Kind(_plain("signerName trustBundle")),
    "token": Kind(
        _plain("audience token"),
        _all("expirationSeconds expirationTimestamp", "who gave the token gives a new one in time"),
    ),
}


def check_fields(document: object, kind: str, path: str = "") -> tuple[Ignored, ...]:
    """The harmless fields a document gives; Invalid at the first one that is refused or unknown.

    Looks at names only: what has the wrong type is left to the reader of the value.
    """
    return tuple(_walk(document, kind, path))


def _walk(value: object, kind: str, path: str) -> Iterator[Ignored]:
    """One object, or a list of them."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _object(item, kind, f"{path}[{index}]")
    else:
        yield from _object(value, kind, path)


def _object(value: object, kind: str, path: str) -> Iterator[Ignored]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _field(str(key), inner, kind, f"{path}.{key}" if path else str(key))


def _field(key: str, value: object, kind: str, path: str) -> Iterator[Ignored]:
    table = KINDS[kind]
    says = value is not None and value is not False and value not in ("", [], {})
    if key in table.honoured:
        if below := table.honoured[key]:
            yield from _walk(value, below, path)
    elif key in table.harmless:
        if says:
            yield Ignored(path, table.harmless[key])
    elif key not in table.refused:
        raise Invalid(path, f"is not a field of Kubernetes' v1 API; {_suggestion(key, table)}")
    elif says:
        raise Invalid(path, table.refused[key])


def _suggestion(key: str, table: Kind) -> str:
    known = [*table.honoured, *table.harmless, *table.refused]
    near = difflib.get_close_matches(key[:64], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here are {', '.join(sorted(known))}"
