"""Client: AsyncClient for threads and notebooks.

Everything runs in one loop of one thread of its own (a portal), so it works where a loop is already running, and from
many threads at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from farnode.client.aio import AsyncClient
from farnode.client.dial import Dial
from farnode.client.execution import ExecSession, Output
from farnode.client.intake import Document, PodInput
from farnode.client.patience import Patience
from farnode.client.pod import Pod
from farnode.client.site import Site
from farnode.model.api import ClaimView, EventView, SiteView, StatsView, Verdict

T = TypeVar("T")


class Client:
    """As AsyncClient, method by method. Opened at once; `close` it or use `with`. Iterators hold a connection until
    they are exhausted or closed."""

    def __init__(
        self, site: Site | str | None = None, *, dial: Dial | None = None, patience: float | Patience = 120.0
    ) -> None:
        client = AsyncClient(site, dial=dial, patience=patience)
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._client = stack.enter_context(self._portal.wrap_async_context_manager(client))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections and the thread; pods at the site go on."""
        self._stack.close()

    def submit(self, pods: PodInput | Iterable[PodInput]) -> list[Pod]:
        return _call(self._portal, lambda: self._client.submit(pods))

    def offer(self, bundles: Sequence[Document]) -> list[Verdict]:
        return _call(self._portal, lambda: self._client.offer(bundles))

    def update_inputs(self, pod: Pod | str, version: int, inputs: Mapping[str, Any]) -> int:
        return _call(self._portal, lambda: self._client.update_inputs(pod, version, inputs))

    def pods(self) -> list[Pod]:
        return _call(self._portal, self._client.pods)

    def pod(self, wanted: Pod | str, namespace: str | None = None) -> Pod:
        return _call(self._portal, lambda: self._client.pod(wanted, namespace))

    def watch(self, after: int | None = None) -> Generator[EventView, None, None]:
        return _iterate(self._portal, self._client.watch(after))

    def wait(self, pod: Pod | str) -> Pod:
        return _call(self._portal, lambda: self._client.wait(pod))

    def as_ended(self, pods: Iterable[Pod | str]) -> Generator[Pod, None, None]:
        return _iterate(self._portal, self._client.as_ended(pods))

    def run(self, pod: PodInput) -> Pod:
        return _call(self._portal, lambda: self._client.run(pod))

    def logs(
        self,
        pod: Pod | str,
        container: str | None = None,
        *,
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        since: float | None = None,
        since_time: str | None = None,
        limit: int | None = None,
    ) -> Generator[bytes, None, None]:
        chunks = self._client.logs(
            pod,
            container,
            follow=follow,
            previous=previous,
            timestamps=timestamps,
            tail=tail,
            since=since,
            since_time=since_time,
            limit=limit,
        )
        return _iterate(self._portal, chunks)

    @contextmanager
    def exec(
        self,
        pod: Pod | str,
        command: Sequence[str],
        container: str | None = None,
        *,
        stdin: bool = False,
        tty: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Iterator[BlockingExecSession]:
        opening = self._client.exec(pod, command, container, stdin=stdin, tty=tty, size=size)
        with self._portal.wrap_async_context_manager(_call(self._portal, lambda: opening)) as session:
            yield BlockingExecSession(self._portal, session)

    @contextmanager
    def attach(
        self,
        pod: Pod | str,
        container: str | None = None,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        size: tuple[int, int] | None = None,
    ) -> Iterator[BlockingExecSession]:
        opening = self._client.attach(pod, container, stdin=stdin, stdout=stdout, stderr=stderr, size=size)
        with self._portal.wrap_async_context_manager(_call(self._portal, lambda: opening)) as session:
            yield BlockingExecSession(self._portal, session)

    @contextmanager
    def port_forward(
        self, pod: Pod | str, ports: Mapping[int, int], *, address: str = "127.0.0.1"
    ) -> Iterator[Mapping[int, int]]:
        opening = self._client.port_forward(pod, ports, address=address)
        with self._portal.wrap_async_context_manager(opening) as local:
            yield local

    def copy_to(
        self, pod: Pod | str, source: Path | str, target: str, container: str | None = None, *, preserve: bool = True
    ) -> list[str]:
        return _call(self._portal, lambda: self._client.copy_to(pod, source, target, container, preserve=preserve))

    def copy_from(self, pod: Pod | str, source: str, target: Path | str, container: str | None = None) -> list[str]:
        return _call(self._portal, lambda: self._client.copy_from(pod, source, target, container))

    def delete(
        self, pods: Pod | str | Iterable[Pod | str], *, grace: int | None = None, purge: bool = False
    ) -> list[Verdict]:
        return _call(self._portal, lambda: self._client.delete(pods, grace=grace, purge=purge))

    def site(self) -> SiteView:
        return _call(self._portal, self._client.site)

    def stats(self) -> StatsView:
        return _call(self._portal, self._client.stats)

    def claims(self) -> list[ClaimView]:
        return _call(self._portal, self._client.claims)

    def delete_claim(self, name: str, namespace: str = "default", owner: str | None = None) -> ClaimView:
        return _call(self._portal, lambda: self._client.delete_claim(name, namespace, owner))

    def drain(self, drain: bool = True) -> SiteView:
        return _call(self._portal, lambda: self._client.drain(drain))

    def stop(self) -> int:
        return _call(self._portal, self._client.stop)


class BlockingExecSession:
    """As ExecSession; `send` and iterating may be done by different threads."""

    def __init__(self, portal: BlockingPortal, session: ExecSession) -> None:
        self._portal = portal
        self._session = session

    @property
    def exit_code(self) -> int | None:
        return self._session.exit_code

    def send(self, data: bytes) -> None:
        _call(self._portal, lambda: self._session.send(data))

    def close_stdin(self) -> None:
        _call(self._portal, self._session.close_stdin)

    def resize(self, rows: int, cols: int) -> None:
        _call(self._portal, lambda: self._session.resize(rows, cols))

    def wait(self) -> int:
        return _call(self._portal, self._session.wait)

    def __iter__(self) -> Generator[Output, None, None]:
        return _iterate(self._portal, self._session.output())


def _call(portal: BlockingPortal, call: Callable[[], Awaitable[T]]) -> T:
    """Waits for the answer; interrupted (Ctrl-C), the call is cancelled and not left behind."""
    future = portal.start_task_soon(call)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _iterate(portal: BlockingPortal, items: AsyncGenerator[T, Any]) -> Generator[T, None, None]:
    end = object()
    try:
        while (item := _call(portal, lambda: anext(items, end))) is not end:
            yield item  # type: ignore[misc]  # not the sentinel
    finally:
        _call(portal, items.aclose)
