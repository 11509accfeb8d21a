"""A pod's whole story, for `describe`, laid out as kubectl does it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from farnode.cli import containers, queued, tables, volumes, words
from farnode.cli.facts import NONE, Fact, indented, lay_out, pairs, time
from farnode.client.pod import Pod
from farnode.model.api import ContainerUsage, PodUsage, SiteView

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The manifest once more, which kubectl does not show either."""


def tell(pod: Pod, now: float, usage: PodUsage | None = None, site: str = "", around: SiteView | None = None) -> str:
    """`now` in seconds since the epoch; `usage` None: nothing is known of what it uses; `around`: what its site is
    doing, of a pod that waits there."""
    using = {one["name"]: one for one in (usage or {"containers": []})["containers"]}
    sections = [
        *lay_out(_header(pod, now, site)),
        *_allocation(pod, now),
        *(_section("Queue:", queued.described(pod, around, now)) if around is not None else ()),
        *_attempts(pod),
        *_containers(pod, "Init Containers:", pod.init_containers, using),
        *_containers(pod, "Containers:", pod.containers, using),
        *_conditions(pod),
        *_volumes(pod),
        *lay_out(_wishes(pod)),
        *_events(pod, now),
    ]
    return "\n".join(sections)


def _header(pod: Pod, now: float, site: str) -> Iterator[Fact]:
    metadata = pod.manifest.get("metadata") or {}
    yield "Name", pod.name
    yield "Namespace", pod.namespace
    yield "UID", pod.uid
    yield "Owner", pod.view.get("owner", "")
    yield "Site", site
    yield (
        "Node",
        "/".join(filter(None, [",".join(pod.allocation.get("nodes") or ()), str(pod.status.get("hostIP") or "")])),
    )
    yield "Labels", pairs(pod.labels) or NONE
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    yield "Annotations", pairs({key: value for key, value in annotations.items() if key != _APPLIED})
    yield "Created", f"{pod.created_at} ({words.age(pod.created_at, now)} ago)" if pod.created_at else ""
    yield "Start Time", str(pod.status.get("startTime") or "")
    yield "Status", words.status(pod)
    yield "Phase", pod.phase
    yield "Reason", pod.reason
    yield "Message", pod.message
    yield "Why", words.why(pod) if words.why(pod) != pod.message else ""
    yield "IP", str(pod.status.get("podIP") or "")
    yield "QoS Class", str(pod.status.get("qosClass") or "")
    yield "Attempt", str(pod.attempt) if pod.attempt else ""
    yield "GPUs", ", ".join(pod.gpus)
    yield "Gang", _gang(pod)


def _gang(pod: Pod) -> str:
    gang = pod.view.get("gang")
    if gang is None:
        return ""
    fate = "the others are ended" if gang["failure"] == "stop" else "the others go on"
    return f"{gang['name']}: {gang['size']} pods start together; when one fails, {fate}"


def _allocation(pod: Pod, now: float) -> list[str]:
    allocation = pod.allocation
    if not allocation:
        return []
    expected, begun, walltime = (allocation.get(key) for key in ("expectedStart", "startedAt", "walltime"))
    waits = [allocation.get("reason") or "", allocation.get("words") or ""]
    facts: list[Fact] = [
        ("Kind", allocation.get("kind") or ""),
        ("Job", allocation.get("job") or ""),
        ("State", allocation.get("phase") or ""),
        ("Offer", allocation.get("offer") or ""),
        ("Partition", allocation.get("partition") or ""),
        ("Nodes", ", ".join(allocation.get("nodes") or ())),
        ("Says", ": ".join(part for part in waits if part)),
        ("Expected", _in_future(expected, now)),
        ("Started", time(begun) if isinstance(begun, float | int) else ""),
        ("Walltime", words.span(walltime) if isinstance(walltime, int) else ""),
        ("Left", _left(begun, walltime, now) if allocation.get("phase") == "running" else ""),
    ]
    return _section("Allocation:", facts)


def _section(title: str, facts: Iterable[Fact]) -> list[str]:
    return [title, *indented(lay_out(facts))]


def _in_future(at: Any, now: float) -> str:
    if not isinstance(at, float | int):
        return ""
    return time(at) + (f" (in {words.span(at - now)})" if at > now else "")


def _left(begun: Any, walltime: Any, now: float) -> str:
    if not isinstance(begun, float | int) or not isinstance(walltime, int):
        return ""
    return words.span(begun + walltime - now)


def _attempts(pod: Pod) -> list[str]:
    if not pod.past_attempts:
        return []
    rows = [
        [
            str(past.get("attempt", "")),
            past.get("job") or NONE,
            ",".join(past.get("nodes") or ()) or NONE,
            past.get("startedAt") or NONE,
            past.get("endedAt") or "",
            ": ".join(filter(None, [past.get("reason"), past.get("message")])),
        ]
        for past in pod.past_attempts
    ]
    heading = ["NUMBER", "JOB", "NODES", "STARTED", "ENDED", "HOW"]
    return ["Earlier Attempts:", *indented(tables.columns([heading, *rows]).split("\n"))]


def _containers(pod: Pod, title: str, names: Sequence[str], using: Mapping[str, ContainerUsage]) -> list[str]:
    if not names:
        return []
    lines = [title]
    for name in names:
        status = pod.container_statuses.get(name, {})
        told = containers.described(pod.container_manifest(name) or {}, status, using.get(name))
        lines += [f"  {name}:", *indented(indented(told))]
    return lines


def _conditions(pod: Pod) -> list[str]:
    known: Sequence[Mapping[str, Any]] = pod.status.get("conditions") or ()
    if not known:
        return []
    rows = [
        [str(one.get("type")), str(one.get("status")), ": ".join(filter(None, [one.get("reason"), one.get("message")]))]
        for one in known
    ]
    return ["Conditions:", *indented(tables.columns([["TYPE", "STATUS", "REASON"], *rows]).split("\n"))]


def _volumes(pod: Pod) -> list[str]:
    known = (pod.manifest.get("spec") or {}).get("volumes") or []
    return ["Volumes:", *indented(volumes.described(known))] if known else []


def _wishes(pod: Pod) -> Iterator[Fact]:
    """What of its manifest decides where and how long it runs."""
    spec = pod.manifest.get("spec") or {}
    yield "Restart Policy", str(spec.get("restartPolicy") or "")
    deadline = spec.get("activeDeadlineSeconds")
    yield "Deadline", f"{deadline}s" if deadline else ""
    yield "Node-Selectors", pairs(spec.get("nodeSelector"))
    yield "Tolerations", [_toleration(one) for one in spec.get("tolerations") or ()]


def _toleration(one: Mapping[str, Any]) -> str:
    value = f"={one['value']}" if one.get("value") else ""
    effect = f":{one['effect']}" if one.get("effect") else ""
    exists = " op=Exists" if one.get("operator") == "Exists" else ""
    return f"{one.get('key') or ''}{value}{effect}{exists}".strip()


def _events(pod: Pod, now: float) -> list[str]:
    if not pod.notes:
        return [f"Events:  {NONE}"]
    rows = [_event(notes, now) for notes in _together(pod.notes)]
    return ["Events:", *indented(tables.columns([["TIME", "TYPE", "REASON", "AGE", "MESSAGE"], *rows]).split("\n"))]


def _together(notes: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Those that say the same, in the order in which each was last said."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for note in notes:
        key = tuple(note.get(field) for field in ("kind", "reason", "message"))
        groups[key] = [*groups.pop(key, []), note]
    return list(groups.values())


def _event(notes: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    first, last = notes[0], notes[-1]
    age = words.span(now - last["at"])
    if len(notes) > 1:
        age += f" (x{len(notes)} over {words.span(now - first['at'])})"
    message = " ".join(str(last.get("message", "")).split())
    return [time(last["at"]), str(last.get("kind") or "Normal"), str(last.get("reason", "")), age, message]
