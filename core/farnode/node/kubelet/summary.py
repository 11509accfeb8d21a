"""/stats/summary (k8s.io/kubelet, pkg/apis/stats/v1alpha1) and /metrics/resource, of a node's sample. Pure.

Times are this machine's: those of the site's clocks would be in the scraper's future or past. What the site does not
measure is left out, which readers of both formats allow for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from farnode.node.kubelet.usage import ContainerSample, NodeSample, PodSample

Json = dict[str, Any]

_FAMILIES = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds"),
    ("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes"),
    ("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds"),
    ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds"),
    ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"),
    ("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds"),
    ("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"),
    ("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise"),
)
_NANO = 10**9


def summary(node: str, sample: NodeSample) -> Json:
    """The node is what its pods use."""
    at = _rfc3339(sample.at)
    return {
        "node": {
            "nodeName": node,
            "startTime": _rfc3339(sample.since),
            "cpu": _cpu(at, sample.cpu, sample.cores),
            "memory": _memory(at, sample.memory),
        },
        "pods": [_pod(at, pod) for pod in sample.pods],
    }


def _pod(at: str, sample: PodSample) -> Json:
    usage = sample.usage
    document: Json = {
        "podRef": {"name": usage["name"], "namespace": usage["namespace"], "uid": usage["uid"]},
        "startTime": _rfc3339(min((_started(one) for one in sample.containers), default=usage["at"])),
        "containers": [_container(at, one) for one in sample.containers],
        "cpu": _cpu(at, sample.cpu, sample.cores),
        "memory": _memory(at, sample.memory),
    }
    if any("storage" in one.usage for one in sample.containers):
        used = sum(one.usage.get("storage", 0) for one in sample.containers)
        document["ephemeral-storage"] = {"time": at, "usedBytes": used}
    if any("processes" in one.usage for one in sample.containers):
        document["process_stats"] = {"process_count": sum(one.usage.get("processes", 0) for one in sample.containers)}
    return document


def _container(at: str, sample: ContainerSample) -> Json:
    usage = sample.usage
    document: Json = {"name": usage["name"], "startTime": _rfc3339(_started(sample))}
    if "cpu" in usage:
        document["cpu"] = _cpu(at, usage["cpu"], sample.cores)
    if "memory" in usage:
        document["memory"] = _memory(at, usage["memory"])
    if "storage" in usage:
        document["rootfs"] = {"time": at, "usedBytes": usage["storage"]}
    return document


def _cpu(at: str, seconds: float, cores: float | None) -> Json:
    known = {} if cores is None else {"usageNanoCores": round(cores * _NANO)}
    return {"time": at, **known, "usageCoreNanoSeconds": round(seconds * _NANO)}


def _memory(at: str, used: int) -> Json:
    return {"time": at, "usageBytes": used, "workingSetBytes": used}


def resource_metrics(sample: NodeSample | None) -> str:
    """In Prometheus' text format; None: it could not be had."""
    lines: dict[str, list[str]] = {name: [] for name, _, _ in _FAMILIES}
    for name, labels, value in _values(sample):
        timed = "" if sample is None or not name.endswith(("_total", "_bytes")) else f" {round(sample.at * 1000)}"
        lines[name].append(f"{name}{_labels(labels)} {value!r}{timed}")
    blocks = [
        f"# HELP {name} [STABLE] {words}\n# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in lines[name])
        for name, kind, words in _FAMILIES
        if lines[name]
    ]
    return "".join(blocks)


def _values(sample: NodeSample | None) -> Iterator[tuple[str, Sequence[tuple[str, str]], float]]:
    yield "resource_scrape_error", (), 1 if sample is None else 0
    if sample is None:
        return
    yield "node_cpu_usage_seconds_total", (), sample.cpu
    yield "node_memory_working_set_bytes", (), sample.memory
    for pod in sample.pods:
        of_pod = (("namespace", pod.usage["namespace"]), ("pod", pod.usage["name"]))
        yield "pod_cpu_usage_seconds_total", of_pod, pod.cpu
        yield "pod_memory_working_set_bytes", of_pod, pod.memory
        for one in pod.containers:
            labels = (("container", one.usage["name"]), *of_pod)
            if "cpu" in one.usage:
                yield "container_cpu_usage_seconds_total", labels, one.usage["cpu"]
            if "memory" in one.usage:
                yield "container_memory_working_set_bytes", labels, one.usage["memory"]
            if "startedAt" in one.usage:
                yield "container_start_time_seconds", labels, one.usage["startedAt"]


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    """Names of Kubernetes have nothing to be escaped."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def _started(sample: ContainerSample) -> float:
    return sample.usage.get("startedAt", 0.0)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
