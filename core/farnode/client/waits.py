"""One stream of events for everyone who waits: a thousand waiting tasks cost one connection, not a thousand.

It begins with the first who waits and lasts until the client closes, so that waiting again costs no new list: neither
of pods that are waited for, nor of those handed over meanwhile, whose ends are kept for who asks for them later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from farnode.client.pod import Pod
from farnode.errors import FarnodeError, NotFound, Unreachable
from farnode.model.api import EventView

EXPECTED = 10_000
"""Pods at most whose ends are kept; of older ones the gateway is asked again."""
Outcome = Pod | FarnodeError
_Waiter = MemoryObjectSendStream[Outcome]


class Waits:
    """`watch` gives endless events that begin with every pod as it is."""

    def __init__(self, tasks: TaskGroup, watch: Callable[[], AsyncGenerator[EventView, None]]) -> None:
        self._tasks = tasks
        self._watch = watch
        self._waiting: dict[str, list[_Waiter]] = {}
        self._expected: OrderedDict[str, Pod | None] = OrderedDict()
        self._running = False

    @contextmanager
    def outcomes(self, uids: Sequence[str]) -> Iterator[MemoryObjectReceiveStream[Outcome]]:
        """The end of each of these pods, once, in the order they end; from here on none is missed."""
        send, receive = anyio.create_memory_object_stream[Outcome](len(uids))
        for uid in uids:
            self._waiting.setdefault(uid, []).append(send)
        if not self._running:
            self._running = True
            self._tasks.start_soon(self._run)
        for uid in uids:
            if ended := self._expected.get(uid):
                self.tell(uid, ended)
        try:
            with send, receive:
                yield receive
        finally:
            for uid in uids:
                self._forget(uid, send)

    def expect(self, uids: Iterable[str]) -> None:
        """Pods that are about to be handed over; nothing is kept of them while nobody listens."""
        if self._running:
            self._expected.update(dict.fromkeys(uids))
            while len(self._expected) > EXPECTED:
                self._expected.popitem(last=False)

    def expects(self, uid: str) -> bool:
        """Whether the pod's end will be heard, or was and is kept."""
        return uid in self._expected

    def forget(self, uids: Iterable[str]) -> None:
        """Pods that were there before, or were not accepted."""
        for uid in uids:
            self._expected.pop(uid, None)

    def tell(self, uid: str, outcome: Outcome) -> None:
        """What became of a pod; whoever waits for it hears it once."""
        self._expected.pop(uid, None)
        for waiter in self._waiting.pop(uid, ()):
            waiter.send_nowait(outcome)

    def _forget(self, uid: str, send: _Waiter) -> None:
        left = [waiter for waiter in self._waiting.get(uid, ()) if waiter is not send]
        if left:
            self._waiting[uid] = left
        else:
            self._waiting.pop(uid, None)

    async def _run(self) -> None:
        why: FarnodeError = Unreachable("the client was closed")
        try:
            async with aclosing(self._watch()) as events:
                async for event in events:
                    self._hear(event)
        except FarnodeError as error:
            why = error
        finally:
            self._running = False
            self._expected.clear()
            for uid in list(self._waiting):
                self.tell(uid, why)

    def _hear(self, event: EventView) -> None:
        uid = event["uid"]
        if uid not in self._waiting and uid not in self._expected:
            return
        if event["type"] == "gone":
            self.tell(uid, NotFound(f"the pod {uid} was removed before its end was seen"))
        elif event["pod"].get("ended"):
            if uid in self._waiting:
                self.tell(uid, Pod(event["pod"]))
            else:
                self._expected[uid] = Pod(event["pod"])
