"""A container in `describe`: what it is, how it is, what it uses. Pure; the values of secrets are never in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from farnode.cli.facts import NONE, Fact, indented, lay_out, size
from farnode.model.api import ContainerUsage

Json = Mapping[str, Any]
_PROBES = (("Startup", "startupProbe"), ("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"))
_HOOKS = (("Post-start", "postStart"), ("Pre-stop", "preStop"))


def described(manifest: Json, status: Json, usage: ContainerUsage | None) -> list[str]:
    """Of a v1.Container and its v1.ContainerStatus; `usage` None: nothing is known."""
    return lay_out(
        [*_nature(manifest, status), *_condition(status), *_needs(manifest), *_use(usage), *_inside(manifest)]
    )


def _nature(manifest: Json, status: Json) -> Iterator[Fact]:
    yield "Container ID", str(status.get("containerID") or "")
    yield "Image", str(status.get("image") or manifest.get("image") or "")
    yield "Image ID", str(status.get("imageID") or "")
    yield (
        "Ports",
        ", ".join(f"{port.get('containerPort')}/{port.get('protocol', 'TCP')}" for port in _list(manifest, "ports")),
    )
    yield "Command", [str(word) for word in _list(manifest, "command")]
    yield "Args", [str(word) for word in _list(manifest, "args")]
    yield "Restart Policy", str(manifest.get("restartPolicy") or "")


def _condition(status: Json) -> Iterator[Fact]:
    yield "State", state(status.get("state"))
    yield "Last State", state(status.get("lastState")) if status.get("lastState") else ""
    yield "Ready", str(bool(status.get("ready")))
    yield "Restart Count", str(status.get("restartCount") or 0)


def _needs(manifest: Json) -> Iterator[Fact]:
    resources = manifest.get("resources") or {}
    for title, key in (("Limits", "limits"), ("Requests", "requests")):
        yield title, lay_out((name, str(amount)) for name, amount in sorted((resources.get(key) or {}).items()))
    for title, key in _PROBES:
        yield title, _probe(manifest[key]) if manifest.get(key) else ""
    for title, key in _HOOKS:
        action = (manifest.get("lifecycle") or {}).get(key)
        yield title, _action(action) if action else ""


def _use(usage: ContainerUsage | None) -> Iterator[Fact]:
    if usage is None:
        return
    facts: list[Fact] = []
    if "cpu" in usage:
        facts.append(("CPU", f"{usage['cpu']:.1f} core seconds"))
    if "memory" in usage:
        peak = f" (peak {size(usage['memoryPeak'])})" if "memoryPeak" in usage else ""
        facts.append(("Memory", size(usage["memory"]) + peak))
    if "storage" in usage:
        facts.append(("Disk", size(usage["storage"])))
    if "processes" in usage:
        facts.append(("Processes", str(usage["processes"])))
    for gpu in usage.get("gpus") or ():
        said = [f"{gpu['utilization']:.0f} %"] if "utilization" in gpu else []
        said += [f"{size(gpu['memory'])} of {size(gpu.get('memoryTotal', 0))}"] if "memory" in gpu else []
        facts.append((f"GPU {gpu.get('device', '')}", ", ".join(said) or "nothing is told of it"))
    yield "Uses", lay_out(facts)


def _inside(manifest: Json) -> Iterator[Fact]:
    sources = [_source(source) for source in _list(manifest, "envFrom")]
    yield "Environment Variables from", sources
    variables = [(str(one.get("name")), _value(one)) for one in _list(manifest, "env")]
    yield "Environment", lay_out(variables) or NONE
    yield "Mounts", [_mount(mount) for mount in _list(manifest, "volumeMounts")] or NONE


def state(known: Json | None) -> str:
    """A v1.ContainerState in lines."""
    kind = next((kind for kind, one in (known or {}).items() if one is not None), "")
    details: Json = (known or {}).get(kind) or {}
    told: list[Fact] = [("Reason", str(details.get("reason") or ""))]
    told.append(("Message", " ".join(str(details.get("message") or "").split())))
    if kind == "terminated":
        told.append(("Exit Code", str(details.get("exitCode", 0))))
        told.append(("Signal", str(details.get("signal") or "")))
    told.append(("Started", str(details.get("startedAt") or "")))
    told.append(("Finished", str(details.get("finishedAt") or "")))
    return "\n".join([kind.capitalize() or "Not started", *indented(lay_out(told))])


def _probe(probe: Json) -> str:
    """As kubectl says it."""
    numbers = {
        "delay": f"{probe.get('initialDelaySeconds', 0)}s",
        "timeout": f"{probe.get('timeoutSeconds', 1)}s",
        "period": f"{probe.get('periodSeconds', 10)}s",
        "#success": probe.get("successThreshold", 1),
        "#failure": probe.get("failureThreshold", 3),
    }
    return " ".join([_action(probe), *(f"{name}={number}" for name, number in numbers.items())])


def _action(action: Json) -> str:
    if command := action.get("exec"):
        return f"exec [{' '.join(map(str, command.get('command') or ()))}]"
    if get := action.get("httpGet"):
        host = f"{get.get('host') or ''}:{get.get('port')}"
        return f"http-get {str(get.get('scheme') or 'HTTP').lower()}://{host}/{str(get.get('path') or '').lstrip('/')}"
    if tcp := action.get("tcpSocket"):
        return f"tcp-socket {tcp.get('host') or ''}:{tcp.get('port')}"
    if grpc := action.get("grpc"):
        return f"grpc <pod>:{grpc.get('port')} {grpc.get('service') or ''}".strip()
    if sleep := action.get("sleep"):
        return f"sleep {sleep.get('seconds')}s"
    return "unknown"


def _source(source: Json) -> str:
    kind = "ConfigMap" if source.get("configMapRef") else "Secret"
    one: Json = source.get("configMapRef") or source.get("secretRef") or {}
    prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
    return f"{one.get('name')}  {kind}{prefix}{_optional(one)}"


def _value(variable: Json) -> str:
    origin = variable.get("valueFrom") or {}
    if secret := origin.get("secretKeyRef"):
        return f"<set to the key '{secret.get('key')}' in secret '{secret.get('name')}'>{_optional(secret)}"
    if config := origin.get("configMapKeyRef"):
        return f"<set to the key '{config.get('key')}' of config map '{config.get('name')}'>{_optional(config)}"
    if field := origin.get("fieldRef"):
        return f"({field.get('apiVersion', 'v1')}:{field.get('fieldPath')})"
    if resource := origin.get("resourceFieldRef"):
        return f"({resource.get('resource')})"
    if file := origin.get("fileKeyRef"):
        where = f"the file '{file.get('path')}' of volume '{file.get('volumeName')}'"
        return f"<set to the key '{file.get('key')}' in {where}>{_optional(file)}"
    return str(variable.get("value") or "")


def _optional(reference: Json) -> str:
    return f"  Optional: {bool(reference.get('optional'))}"


def _mount(mount: Json) -> str:
    notes = ["ro" if mount.get("readOnly") else "rw"]
    notes += [f'path="{mount[key]}"' for key in ("subPath", "subPathExpr") if mount.get(key)]
    return f"{mount.get('mountPath')} from {mount.get('name')} ({','.join(notes)})"


def _list(manifest: Json, key: str) -> Sequence[Any]:
    return manifest.get(key) or ()
