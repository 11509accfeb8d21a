"""What is to be done about one pod next, from what the API server and the site say of it: pure.

It looks at the present alone and not at how things came to be so; that is why a node process may be killed at any time,
and why what happened while it was away needs no rule of its own. Never twice and never lost rests on these:

- a pod that the site knows is not offered again, and one that ran there is not when the site forgot it: it has failed;
- nothing is ended at the site because it is missing from a list: the API server is asked for that very uid first;
- an object is removed only when the site says that nothing of the pod runs any more, or that it never had it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from farnode.model.api import PodView
from farnode.node.mirror import Entry, Held
from farnode.node.pods.publishing import ENDED, failed, patch, published, waiting
from farnode.node.pods.refusal import rejected, replaced_for_ever
from farnode.node.pods.tolerations import tolerated

Json = dict[str, Any]
SETTLE = 1.0
"""Seconds before it is told that a pod waits: most do not wait so long, and each telling is a call."""
WORDS_EVERY = 10.0
"""Seconds between two tellings that differ in nothing but words."""
LASTING = 30.0
"""Seconds a pod is there before what only lasting ones need is seen to: that it outlasts its node's process, and, where
another process handed it over, that changes of what it refers to are heard of."""
ADOPTION = 120
"""Seconds over which a new process does the latter, pod by pod."""
REMOVES_ITSELF = 10.0
"""Seconds the API server has to remove an object without grace; then it is asked to."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all pods of a node. `absence`: seconds for which pods tolerate that nobody renews its Lease;
    `skew`: what is to be added to the site's times; `unreachable`: why the site cannot be reached, "" while it can."""

    absence: int
    skew: float = 0.0
    unreachable: str = ""


class Step:
    """What is to be done."""


@dataclass(frozen=True, slots=True)
class Wait(Step):
    """Nothing, until something changes or, where it is given, that time has come."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class Offer(Step):
    """Hand it to the site."""


@dataclass(frozen=True, slots=True)
class Update(Step):
    """What it refers to has changed: tell the site."""


@dataclass(frozen=True, slots=True)
class Publish(Step):
    """Write its status."""

    patch: Json


@dataclass(frozen=True, slots=True)
class Tolerate(Step):
    """Let it outlast the node's process."""

    patch: Json


@dataclass(frozen=True, slots=True)
class End(Step):
    """Tell the site to end it, and with `purge` to forget it then."""

    grace: int | None
    purge: bool = False


@dataclass(frozen=True, slots=True)
class Remove(Step):
    """Remove its object: nothing of it runs."""


@dataclass(frozen=True, slots=True)
class Confirm(Step):
    """Ask the API server whether it is really gone."""


@dataclass(frozen=True, slots=True)
class Forget(Step):
    """Neither side knows it."""


def decide(entry: Entry, api_known: bool, site_known: bool, terms: Terms, now: float) -> Step:
    """One step; after it is done, and whenever something changes, it is asked again."""
    pod, view = entry.pod, entry.view
    if pod is None:
        return _unwanted(entry, view, api_known, site_known)
    if not site_known and view is None:
        return _publish(entry, pod, _waiting_for_site(pod, terms, now), now)
    if view is None:
        return _not_there(entry, pod, now)
    return _there(entry, pod, view, terms, now)


def _unwanted(entry: Entry, view: PodView | None, api_known: bool, site_known: bool) -> Step:
    """The API server has no such pod: it was removed by force, or while nobody looked."""
    if not api_known or (view is None and not site_known):
        return Wait()
    if view is None:
        return Wait() if entry.offered else Forget()
    if not entry.gone:
        return Confirm()
    return Wait() if entry.purged else End(None if view["ended"] else 0, purge=True)


def _not_there(entry: Entry, pod: Json, now: float) -> Step:
    """The site does not know it, or not yet."""
    metadata, over = pod["metadata"], pod.get("status", {}).get("phase") in ENDED
    deleting = "deletionTimestamp" in metadata
    if entry.offered:
        return Wait()
    if deleting and entry.unsure:
        return End(metadata.get("deletionGracePeriodSeconds"))
    if over:
        return _removal(pod, now) if deleting else Wait()
    if entry.ran or _has_run(pod):
        words = "the site no longer knows this pod, which has run there: whether it ended well is not known"
        step = _write(entry, pod, failed(pod, "NotFoundAtSite", words, now))
        return step or (_removal(pod, now) if deleting else Wait())
    if deleting:
        return _write(entry, pod, rejected(pod, "Deleted", "it was deleted before it began")) or _removal(pod, now)
    return _held_back(entry, pod, entry.held, now)


def _held_back(entry: Entry, pod: Json, held: Held | None, now: float) -> Step:
    if held is None or now >= held.until:
        return Offer()
    if held.refused and not replaced_for_ever(pod):
        return _write(entry, pod, rejected(pod, held.reason, held.message)) or Wait()
    step = _publish(entry, pod, waiting(pod, held.reason, held.message, now), now)
    return step if isinstance(step, Publish) else Wait(held.until)


def _there(entry: Entry, pod: Json, view: PodView, terms: Terms, now: float) -> Step:
    metadata, over = pod["metadata"], pod.get("status", {}).get("phase") in ENDED
    deleting = "deletionTimestamp" in metadata
    if not view["ended"]:
        grace = metadata.get("deletionGracePeriodSeconds") if deleting else None
        if (deleting or over) and grace not in entry.ended_by:
            return End(grace)
    step = _publish(entry, pod, published(pod, view, terms.skew, at=now), now)
    if isinstance(step, Publish):
        return step
    if deleting and view["ended"]:
        return _removal(pod, now)
    if deleting or over or view["ended"]:
        return step
    if entry.stale_inputs or (not entry.inputs_known and now >= _adoption(entry)):
        return Update()
    if now >= entry.since + LASTING and not entry.tolerates and (body := tolerated(pod, terms.absence)) is not None:
        return Tolerate(body)
    due = [at for at in (step.until, entry.since + LASTING, _adoption(entry)) if at is not None and at > now]
    return Wait(min(due, default=None))


def _adoption(entry: Entry) -> float:
    """When it is seen to that changes of what it refers to are heard of: not of all pods of a node at once."""
    return entry.since + LASTING + zlib.crc32(entry.uid.encode()) % ADOPTION


def _waiting_for_site(pod: Json, terms: Terms, now: float) -> Json:
    """As it is, unless it waits: then that is why."""
    if pod.get("status", {}).get("startTime") or not terms.unreachable:
        return dict(pod.get("status", {}))
    return waiting(pod, "ContainerCreating", terms.unreachable, now)


def _publish(entry: Entry, pod: Json, status: Json, now: float) -> Publish | Wait:
    step = _write(entry, pod, status)
    if step is None:
        return Wait()
    before: Json = pod.get("status", {})
    if status.get("phase") == before.get("phase") == "Pending" and _reasons(status) <= _reasons(before):
        due = max(entry.since + SETTLE, entry.published + WORDS_EVERY)
    elif status.get("phase") == "Pending":
        due = entry.since + SETTLE
    else:
        due = 0.0
    return step if now >= due else Wait(due)


def _write(entry: Entry, pod: Json, status: Json) -> Publish | None:
    """None, too, where the API server made nothing of it: an older one does not know all that there is to tell."""
    body = patch(pod, status)
    return None if body is None or body == entry.unkept else Publish(body)


def _removal(pod: Json, now: float) -> Step:
    """An object whose grace is 0 the API server removes itself: in the next moment, or when the last finalizer is taken
    off. In that moment it may have been killed."""
    metadata = pod["metadata"]
    if metadata.get("deletionGracePeriodSeconds") != 0:
        return Remove()
    if metadata.get("finalizers"):
        return Wait()
    due = datetime.fromisoformat(metadata["deletionTimestamp"]).timestamp() + REMOVES_ITSELF
    return Wait(due) if now < due else Remove()


def _reasons(status: Json) -> set[tuple[str, str]]:
    """Why its containers wait, by container."""
    found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return {(one["name"], str(one.get("state", {}).get("waiting", {}).get("reason"))) for one in found}


def _has_run(pod: Json) -> bool:
    status = pod.get("status", {})
    found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return any(one.get("restartCount") or one.get("state", {}).keys() & {"running", "terminated"} for one in found)
