"""One stream of events for everyone who waits: a thousand waiting tasks cost one connection, not a thousand.

It begins with the first who waits and lasts until the client closes, so that waiting again costs no new list.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from farnode.client.pod import Pod
from farnode.errors import FarnodeError, NotFound, Unreachable
from farnode.model.api import EventView

Outcome = Pod | FarnodeError
_Waiter = MemoryObjectSendStream[Outcome]


class Waits:
    """`watch` gives endless events that begin with every pod as it is."""

    def __init__(self, tasks: TaskGroup, watch: Callable[[], AsyncGenerator[EventView, None]]) -> None:
        self._tasks = tasks
        self._watch = watch
        self._waiting: dict[str, list[_Waiter]] = {}
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
        try:
            with send, receive:
                yield receive
        finally:
            for uid in uids:
                self._forget(uid, send)

    def tell(self, uid: str, outcome: Outcome) -> None:
        """What became of a pod; whoever waits for it hears it once."""
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
            for uid in list(self._waiting):
                self.tell(uid, why)

    def _hear(self, event: EventView) -> None:
        uid = event["uid"]
        if uid not in self._waiting:
            return
        if event["type"] == "gone":
            self.tell(uid, NotFound(f"the pod {uid} was removed before its end was seen"))
        elif event["pod"].get("ended"):
            self.tell(uid, Pod(event["pod"]))
