"""One virtual node: it watches both sides, and workers do what `reconcile.decide` says of each pod."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from farnode.client.watching import Listing
from farnode.errors import Denied, FarnodeError, Invalid, Transient
from farnode.model.api import EventView, SiteView, Verdict
from farnode.node import reconcile, tracing
from farnode.node.events import Events
from farnode.node.inputs import InputSource, Missing
from farnode.node.kube.api import KubeApi
from farnode.node.kube.watch import Gone, Listed, Put, reflect
from farnode.node.mirror import Entry, Held, Json, Mirror
from farnode.node.podobjects import PodObjects
from farnode.node.pods.bundle import Found, bundle
from farnode.node.pods.publishing import ENDED
from farnode.node.presence.keeper import Presence
from farnode.node.site import LOOK_EVERY, SiteLink
from farnode.node.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 256
"""Pods looked after at once; most of them wait for an answer."""
MISSING_AGAIN, REFUSED_AGAIN = 30.0, 300.0
"""Seconds until a pod is tried again that lacks something, and that the site refused, while nothing seems to change."""
AWAY_AGAIN = 5.0
"""Seconds until a pod is offered again to a site that did not answer; that took some seconds already."""
COLLECTING = 30.0
"""Seconds for reading what a pod refers to."""
CALM = 60.0
"""Seconds over which pods are looked at of which there is no news."""
PAUSE = 1.0
"""Seconds before a watch of the site that broke is begun again."""
APART = 3.0
"""Seconds by which clocks differ before the site's times are corrected; less is what an answer may take."""
REFUSED, CREATING = "SiteRefused", "ContainerCreating"
LATER = {"unknown": "SiteFailed", "full": "SiteFull"}
"""Verdicts that say nothing against a pod, and what its Event is called then."""
EVENTS = {"Scheduled": "SiteBound", "FailedScheduling": "SiteQueued"}
"""Of the site's notes, those whose reason means something else in a cluster: there they are the scheduler's."""


class Controller:
    """`absence`: seconds for which pods tolerate that no node process is there. `clock`: seconds since the epoch."""

    def __init__(
        self,
        api: KubeApi,
        link: SiteLink,
        presence: Presence,
        events: Events,
        node: str,
        absence: int,
        traces: tracing.Traces | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.mirror = Mirror(node)
        self.link = link
        self._api = api
        self._presence = presence
        self._events = events
        self._clock = clock
        self._traces = traces
        self._terms = reconcile.Terms(absence)
        self._inputs = InputSource(api, self._inputs_changed, clock)
        self._objects = PodObjects(api, self.mirror, clock)
        self._queue = WorkQueue()
        self._offers: Any = None
        self._looked = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Pods that wait to be looked after."""
        return len(self._queue)

    @property
    def reachable(self) -> bool:
        """Whether the site answers."""
        return not self._terms.unreachable

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for task in self._tasks():
                tasks.create_task(task)

    def _tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._presence.run()
        yield self._inputs.run()
        yield self._watch_api()
        yield self._watch_site()
        yield self._look_at_site()
        for _ in range(WORKERS):
            yield self._work()

    # ---- what is seen --------------------------------------------------------------------------------------------

    async def _watch_api(self) -> None:
        query = {"fieldSelector": f"spec.nodeName={self.mirror.node}"}
        async with aclosing(reflect(self._api, "/api/v1/pods", query)) as news:
            async for one in news:
                self._saw_pod(one)

    def _saw_pod(self, news: Listed | Put | Gone) -> None:
        if isinstance(news, Listed):
            self._saw_list(news.objects)
            return
        gone = isinstance(news, Gone)
        changed = self.mirror.remove_pod(news.object) if gone else self.mirror.put_pod(news.object, self._clock())
        if changed is not None:
            self._queue.add(changed)

    def _saw_list(self, pods: list[Json]) -> None:
        """The others are looked at, too, in case something was missed, but news does not wait behind ten thousand."""
        changed = self.mirror.list_pods(pods, self._clock())
        for uid in self.mirror.entries:
            if uid in changed:
                self._queue.add(uid)
            else:
                self._queue.later(uid, random.uniform(0.0, CALM))  # noqa: S311 - not a secret

    async def _watch_site(self) -> None:
        """After the first look, which tells how far the clocks are apart: else all statuses would be written twice."""
        await self._looked.wait()
        while True:
            try:
                async with aclosing(self.link.client.follow()) as news:
                    async for one in news:
                        self._saw_view(one)
            except FarnodeError as error:
                log.warning("node %s: %s", self.mirror.node, error)
                await asyncio.sleep(PAUSE)

    def _saw_view(self, news: Listing | EventView) -> None:
        if isinstance(news, Listing):
            for uid in self.mirror.list_views(list(news.pods), self._clock()):
                self._queue.add(uid)
            return
        gone = news["type"] == "gone"
        changed = self.mirror.remove_view(news["uid"]) if gone else self.mirror.put_view(news["pod"], self._clock())
        if changed is not None:
            self._queue.add(changed)

    async def _look_at_site(self) -> None:
        while True:
            began = self._clock()
            view, problem = await self.link.look()
            if view is not None and self._clock() - began >= APART:
                view.pop("time", None)  # nobody knows when that was
            self._presence.observe(view, problem)
            self._site_is(view, problem)
            self._looked.set()
            await asyncio.sleep(LOOK_EVERY)

    def _site_is(self, view: SiteView | None, problem: str) -> None:
        """Pods it refused are offered again when it offers something else; those that wait for it are told why."""
        before = self._terms
        told = None if view is None else view.get("time")
        skew = before.skew if told is None else _skew(self._clock() - told, before.skew)
        self._terms = reconcile.Terms(before.absence, skew, problem)
        offers = None if view is None else (view.get("offers"), view.get("runtimes"), view.get("draining"))
        changed = view is not None and offers != self._offers
        if changed:
            self._offers = offers
        for uid, entry in self.mirror.entries.items():
            if changed and entry.held is not None and entry.held.refused:
                entry.held = replace(entry.held, until=0.0)  # and not None, for its Event has been told
                self._queue.add(uid)
            elif before.unreachable != problem and not entry.offered:
                self._queue.add(uid)

    def _inputs_changed(self, uid: str) -> None:
        entry = self.mirror.entries.get(uid)
        if entry is None:
            return
        entry.stale_inputs = True
        if entry.held is not None and not entry.held.refused:
            entry.held = None
        self._queue.add(uid)

    # ---- what is done --------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            uid = await self._queue.take()
            try:
                await self._attend(uid)
            except Transient as error:
                log.info("pod %s: %s", uid, error)
                self._queue.failed(uid, error.retry_after or 0.0)
            except FarnodeError as error:
                log.warning("pod %s: %s", uid, error)
                self._queue.failed(uid, MISSING_AGAIN)
            except Exception:
                log.exception("pod %s", uid)
                self._queue.failed(uid, REFUSED_AGAIN)
            else:
                self._queue.done(uid)

    async def _attend(self, uid: str) -> None:
        """Step after step until there is nothing to do now."""
        written: reconcile.Publish | None = None
        while (entry := self.mirror.entries.get(uid)) is not None:
            now = self._clock()
            self._tell(entry)
            step = reconcile.decide(entry, self.mirror.api_known, self.mirror.site_known, self._terms, now)
            if isinstance(step, reconcile.Wait):
                if step.until is not None:
                    self._queue.later(uid, step.until - now)
                return
            if isinstance(step, reconcile.Forget):
                self._inputs.release(uid)
                self.mirror.forget(uid)
                return
            if written is not None and step == written:
                log.info("pod %s: the API server keeps nothing of %s", uid, written.patch)
                entry.unkept, written = written.patch, None
                continue
            written = step if isinstance(step, reconcile.Publish) else None
            await self._do(entry, step)

    async def _do(self, entry: Entry, step: reconcile.Step) -> None:
        match step:
            case reconcile.Offer():
                await self._offer(entry)
            case reconcile.Update():
                await self._update(entry)
            case reconcile.Publish(patch):
                await self._publish(entry, patch)
            case reconcile.Tolerate(patch):
                await self._tolerate(entry, patch)
            case reconcile.End(grace, purge):
                await self._end(entry, grace, purge)
            case reconcile.Remove():
                await self._objects.remove(entry)
            case reconcile.Confirm():
                await self._objects.confirm(entry)

    async def _offer(self, entry: Entry) -> None:
        pod = entry.pod
        if pod is None:
            return
        entry.stale_inputs = False
        try:
            document = bundle(pod, await self._collect(pod))
            entry.unsure = True
            self._judged(entry, pod, await self.link.offer(document))
        except Missing as missing:
            until = self._clock() + MISSING_AGAIN
            self._hold(entry, pod, Held(missing.waiting, missing.message, until), missing.reason)
        except FarnodeError as error:
            log.info("pod %s: %s", entry.uid, error)
            again = AWAY_AGAIN if isinstance(error, Transient) else MISSING_AGAIN
            entry.held = Held(CREATING, str(error), self._clock() + again)

    async def _collect(self, pod: Json) -> Found:
        """Not for ever, even where an object cannot be read for ever: the pod may be deleted meanwhile."""
        try:
            async with asyncio.timeout(COLLECTING):
                return await self._inputs.collect(pod)
        except TimeoutError:
            raise Transient("what the pod refers to cannot be read: the API server does not give it") from None

    def _judged(self, entry: Entry, pod: Json, verdict: Verdict) -> None:
        words = str(Invalid(verdict.get("field", ""), verdict.get("message", "was refused")))
        if verdict["verdict"] in LATER:
            self._hold(entry, pod, Held(CREATING, words, self._clock() + MISSING_AGAIN), LATER[verdict["verdict"]])
            return
        entry.unsure = False
        if verdict["verdict"] == "invalid":
            self._hold(entry, pod, Held(REFUSED, words, self._clock() + REFUSED_AGAIN, refused=True), REFUSED)
        else:
            entry.offered, entry.inputs_known, entry.held = True, True, None
            entry.accepted = entry.accepted or self._clock()

    def _hold(self, entry: Entry, pod: Json, held: Held, reason: str) -> None:
        if entry.held is None or entry.held.message != held.message:
            self._events.tell(pod, "Warning", reason, held.message, self._clock())
        entry.held = held

    async def _update(self, entry: Entry) -> None:
        pod, view = entry.pod, entry.view
        entry.stale_inputs, entry.inputs_known = False, True
        if pod is None or view is None:
            return
        version = max(entry.inputs, view.get("inputs", 0)) + 1
        try:
            document = bundle(pod, await self._collect(pod))
            inputs = {key: value for key, value in document.items() if key != "pod"}
            entry.inputs = await self.link.client.update_inputs(entry.uid, version, inputs)
            entry.stale_inputs = entry.stale_inputs or entry.inputs > version  # it had others: these are the newest
        except Missing:
            return  # what was there stays: so does the kubelet
        except Transient:
            entry.stale_inputs = True
            raise  # and it comes again
        except FarnodeError as error:
            self._events.tell(pod, "Warning", "FailedUpdate", str(error), self._clock())

    async def _publish(self, entry: Entry, patch: Json) -> None:
        try:
            await self._objects.write(entry, "/status", patch)
        except Invalid as error:
            pod = entry.pod
            if pod is None or "deletionTimestamp" not in pod["metadata"]:
                raise
            log.warning("pod %s is deleted without a status that the API server refuses: %s", entry.uid, error)
            entry.unkept = patch
        entry.published = self._clock()
        self._trace(entry)

    def _trace(self, entry: Entry) -> None:
        """Once, when it is told that it runs, or that it has."""
        pod = entry.pod
        if self._traces is None or entry.traced or not entry.accepted or pod is None:
            return
        if pod["status"].get("phase") != "Pending":
            entry.traced = True
            self._traces.tell(pod, tracing.steps(pod, entry.since, entry.accepted, entry.published))

    async def _tolerate(self, entry: Entry, patch: Json) -> None:
        try:
            await self._objects.write(entry, "", patch)
        except (Denied, Invalid) as error:
            log.warning("pod %s will be evicted when its node's process is away for long: %s", entry.uid, error)
        entry.tolerates = True

    async def _end(self, entry: Entry, grace: int | None, purge: bool) -> None:
        verdict = await self.link.end(entry.uid, grace, purge)
        entry.ended_by.append(grace)
        entry.purged = entry.purged or purge
        if verdict["verdict"] == "unknown":
            self.mirror.remove_view(entry.uid)
        elif entry.unsure:
            entry.offered = True
        entry.unsure = False

    def _tell(self, entry: Entry) -> None:
        """What the site noted becomes Events."""
        view, pod = entry.view, entry.pod
        if (view or {}).get("ended") or (pod or {}).get("status", {}).get("phase") in ENDED:
            self._inputs.release(entry.uid)
        if view is None or pod is None:
            return
        notes = {(note["at"], note["reason"], note["message"]): note for note in view["notes"]}
        for key, note in notes.items():
            if key not in entry.told:
                reason, at = EVENTS.get(note["reason"], note["reason"]), note["at"] + self._terms.skew
                self._events.tell(pod, note["kind"], reason, note["message"], at)
        entry.told = frozenset(notes)


def _skew(measured: float, before: float) -> float:
    """Whole seconds, and as they were unless the clocks have parted: each other value would be news of every pod."""
    return before if abs(measured - before) < APART else float(round(measured))
