"""What a pod's containers are told of the pod itself, as text.

Source: Kubernetes, "Downward API", and the kubelet's way of writing labels and annotations into files.
"""

from __future__ import annotations

from farnode.model.container import Container
from farnode.model.demand import Demand
from farnode.model.env import FieldSource, ResourceSource
from farnode.model.pod import Pod
from farnode.model.resources import CPU, MEMORY

_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_ESCAPES |= {"\\": r"\\", '"': r"\""}


def field_text(pod: Pod, source: FieldSource) -> str:
    """The value of a field of the pod as text; a label or annotation that it lacks is empty."""
    if source.path in ("metadata.labels", "metadata.annotations"):
        values = pod.labels if source.path == "metadata.labels" else pod.annotations
        return (
            values.get(source.key, "") if source.key else "\n".join(f"{k}={_quote(values[k])}" for k in sorted(values))
        )
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.serviceAccountName": pod.service_account,
    }[source.path]


def resource_text(pod: Pod, needs: Demand, source: ResourceSource, own: Container | None = None) -> str:
    """A request or limit of the container that the source names, else of its `own`, rounded up to whole divisors.

    Where a container has no limit the kubelet gives the pod's limit, else what its node has; here the latter is what
    the pod as a whole is given.
    """
    container = next((one for one in pod.all_containers if one.name == source.container), own)
    assert container is not None
    nanos = _limit(pod, needs, container, source) if source.side == "limits" else _request(container, source)
    return str(-(-nanos // source.divisor.nanos))


def _limit(pod: Pod, needs: Demand, container: Container, source: ResourceSource) -> int:
    for limits in (container.resources.limits, pod.resources.limits):
        if source.resource in limits and limits[source.resource].nanos:
            return limits[source.resource].nanos
    whole = {CPU: needs.millicores * 10**6, MEMORY: needs.memory * 10**9}
    return whole.get(source.resource, 0)


def _request(container: Container, source: ResourceSource) -> int:
    requests = container.resources.requests
    return requests[source.resource].nanos if source.resource in requests else 0


def _quote(text: str) -> str:
    """Quoted as Go's %q, which is how the kubelet writes labels and annotations into files."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escape(ord(c))) for c in text) + '"'


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
