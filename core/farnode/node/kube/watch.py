"""reflect: one collection of the API server as it is and as it changes, without end."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from farnode.client.patience import Patience, Trial
from farnode.errors import FarnodeError, Transient
from farnode.node.kube.api import KubeApi
from farnode.node.kube.failures import Expired, Json, TooNew, failure

_PAGE = "500"
"""Objects of one page, as client-go asks for them."""
_LONGEST = 300.0
"""Seconds of one watch: what a load balancer dropped in silence is noticed then at the latest."""
_BOOKMARKS = 150.0
"""Seconds without a line that end a watch which had a bookmark before: API servers send one each minute, give or take
a quarter, where they can."""
_SHORT = 1.0
"""Seconds; a watch that ended sooner and brought nothing is a failure."""
_PAUSES = Patience(total=math.inf, first=0.1, most=15.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """The whole truth now: what is not among these objects is gone."""

    objects: list[Json]


@dataclass(frozen=True, slots=True)
class Put:
    """An object that is new or different."""

    object: Json


@dataclass(frozen=True, slots=True)
class Gone:
    """An object, as it was last, that was deleted or no longer matches the query."""

    object: Json


Change = Listed | Put | Gone


async def reflect(
    api: KubeApi, path: str, query: Mapping[str, str] | None = None, relist: float = 600.0
) -> AsyncGenerator[Change, None]:
    """A Listed, then each change since, then again a Listed: every `relist` seconds, and when the API server no longer
    knows what came after the last change. Lists are consistent ones (no resourceVersion is asked for): what was seen
    before is never taken back. Whatever fails is logged and tried again, also what is denied: a role may come yet.
    Objects have `apiVersion` and `kind`, listed ones too."""
    reflector = _Reflector(api, path, query or {})
    while True:
        try:
            yield Listed(await reflector.list())
            async with aclosing(reflector.follow(relist)) as changes:
                async for change in changes:
                    yield change
        except FarnodeError as error:
            await reflector.pause(error)


class _Reflector:
    def __init__(self, api: KubeApi, path: str, query: Mapping[str, str]) -> None:
        self._api = api
        self._path = path
        self._query = dict(query)
        self._version = ""
        self._trial = Trial(_PAUSES)
        self._said = ""

    async def list(self) -> list[Json]:
        objects: list[Json] = []
        page = {**self._query, "limit": _PAGE}
        while True:
            found = await self._api.get(self._path, page)
            objects += _items(found)
            token = found["metadata"].get("continue")
            if not token:
                self._version = found["metadata"]["resourceVersion"]
                return objects
            page["continue"] = token

    async def follow(self, seconds: float) -> AsyncGenerator[Put | Gone, None]:
        """One watch after the other. Expired and TooNew: only a new list helps."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while (left := until - now()) > 0:
            try:
                async with aclosing(self._watch(min(left, _LONGEST * random.uniform(0.8, 1.0)))) as changes:  # noqa: S311
                    async for change in changes:
                        yield change
            except (Expired, TooNew):
                raise
            except FarnodeError as error:
                await self.pause(error)

    async def pause(self, error: FarnodeError) -> None:
        """Longer after each failure, until something arrives again."""
        words = str(error)
        if words != self._said:
            _log.log(logging.INFO if isinstance(error, Expired) else logging.WARNING, "%s: %s", self._path, words)
        self._said = words
        await self._trial.pause(error if isinstance(error, Transient) else Transient(words))

    async def _watch(self, seconds: float) -> AsyncGenerator[Put | Gone, None]:
        query = {
            **self._query,
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(math.ceil(seconds)),
        }
        silence = seconds + 15.0
        now = asyncio.get_running_loop().time
        since = now()
        async with aclosing(self._api.stream(self._path, query, lambda: silence)) as events:
            async for event in events:
                change = self._change(event)
                if change:
                    yield change
                else:
                    silence = min(silence, _BOOKMARKS)
                self._succeeded()
                since = -math.inf
        if now() - since < _SHORT:
            raise Transient("a watch ended at once")
        self._succeeded()

    def _change(self, event: Json) -> Put | Gone | None:
        """None of a bookmark. An error of the stream is raised."""
        kind, found = event["type"], event["object"]
        if kind == "ERROR":
            raise failure(int(found.get("code") or 500), found)
        self._version = found["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return None
        return Gone(found) if kind == "DELETED" else Put(found)

    def _succeeded(self) -> None:
        self._trial.succeeded()
        self._said = ""


def _items(found: Json) -> list[Json]:
    """With the type that the list says once."""
    items: list[Json] = found.get("items") or []
    kind = str(found["kind"]).removesuffix("List")
    for item in items:
        item.setdefault("apiVersion", found["apiVersion"])
        item.setdefault("kind", kind)
    return items
