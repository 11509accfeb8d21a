"""Logs. A followed log goes on after a lost connection, without doubled lines.

Bytes carry no position, so a followed log is asked for with timestamps (taken off again where the caller wants none);
after a loss it is asked for from the last timestamp's second and what was delivered is skipped: earlier lines, as many
lines of that timestamp as were delivered, and of an unfinished line as many bytes. Best effort: when lines
were rotated away meanwhile, they are missing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from farnode.client.cursor import Cursor
from farnode.client.patience import Patience, Trial
from farnode.client.transport import Transport
from farnode.errors import Transient


@dataclass(frozen=True, slots=True)
class LogQuery:
    """As v1.PodLogOptions: `tail` lines, `since` seconds ago, `since_time` RFC 3339, `limit` bytes."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    since_time: str | None = None
    limit: int | None = None

    def path(self, uid: str, container: str) -> str:
        """The request's path and query."""
        given = {
            "follow": "true" if self.follow else None,
            "previous": "true" if self.previous else None,
            "timestamps": "true" if self.timestamps else None,
            "tailLines": self.tail,
            "sinceSeconds": None if self.since is None else max(1, round(self.since)),
            "sinceTime": self.since_time,
            "limitBytes": self.limit,
        }
        query = urlencode({key: value for key, value in given.items() if value is not None})
        return f"/v1/pods/{quote(uid, safe='')}/logs/{quote(container, safe='')}" + (f"?{query}" if query else "")


async def read(
    transport: Transport, patience: Patience, uid: str, container: str, query: LogQuery
) -> AsyncGenerator[bytes, None]:
    """The log's bytes as they come; nothing is read before it is asked for."""
    chunks = _followed if query.follow else _whole
    async for chunk in chunks(transport, patience, (uid, container), query):
        yield chunk


async def _whole(
    transport: Transport, patience: Patience, log: tuple[str, str], query: LogQuery
) -> AsyncGenerator[bytes, None]:
    trial, begun = Trial(patience), False
    while True:
        try:
            async with transport.stream(query.path(*log)) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except Transient as error:
            if begun:
                raise
            await trial.pause(error)


async def _followed(
    transport: Transport, patience: Patience, log: tuple[str, str], query: LogQuery
) -> AsyncGenerator[bytes, None]:
    trial, cursor = Trial(patience), Cursor(query.timestamps)
    asked, left = replace(query, timestamps=True, limit=None), query.limit
    while True:
        try:
            async with transport.stream(asked.path(*log)) as chunks:
                async for chunk in chunks:
                    trial.succeeded()
                    text = cursor.feed(chunk)[:left]
                    left = None if left is None else left - len(text)
                    if text:
                        yield text
                    if left == 0:
                        return
            return
        except Transient as error:
            await trial.pause(error)
        if (since := cursor.lost()) is not None:
            asked = replace(asked, tail=None, since=None, since_time=since)
