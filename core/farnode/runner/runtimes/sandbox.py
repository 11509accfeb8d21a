"""A container out of a directory, from its start to its end, from inside a process of one thread.

All that is asked of a site's tool (podman, ch-run, bwrap) is what an ordinary user may be refused: a user namespace.
The tool makes one around the holder; it is joined, and the tool may go. In it, this process has the rights to make
the other namespaces and the container's root directory (see `directory_root`) by one code, whatever the tool and its
version. Process 1 of the container is a holder of our own; the program is started as `container` says.

A user namespace with room for user 0 is what mounting needs (a /dev/pts). Where programs shall run as the site's user
nevertheless, process 1 and they are in a second one inside it, in which they have no rights at all.

Containers of a pod that share their processes have one process namespace, kept by another holder, which lives as long
as one of them does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

from . import container, directory_root, holder, namespaces, tree
from .failure import SETUP_FAILED, Failure
from .keeper import Keeper, marks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

OWN = namespaces.CLONE_NEWNS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWUTS


def run(order: dict[str, Any], failure: Failure) -> int:
    """The exit status of its program, 128 + n when signal n ended it. Raises ToolFailed with the tool's words."""
    container.wait_for_signals()
    program = os.open(order["holder"], os.O_RDONLY | os.O_CLOEXEC)
    shared = Shared(order) if order["processes"] else None
    if shared is None:
        user = borrowed(order)
        namespaces.join(user)
        os.close(user)
        namespaces.unshare(namespaces.CLONE_NEWPID)
    first = First(order, program, failure)
    try:
        if not first.stands():
            return SETUP_FAILED
        return container.run(
            first.pid,
            order,
            order["env"],
            failure,
            started=lambda: container.write_state(order["state"], first.pid),
        )
    finally:
        first.end()
        if shared is not None:
            shared.clear()


def borrowed(order: dict[str, Any]) -> int:
    """A user namespace made by the tool, opened; the tool is gone."""
    keeper = Keeper(order["tool"], order["tool_env"], order["log"])
    try:
        return os.open(f"/proc/{keeper.holder}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        keeper.end()
        if order["leaves"]:
            end_written_in(order["leaves"])


def end_written_in(path: str) -> None:
    """The process whose number is in the file."""
    with contextlib.suppress(OSError, ValueError):
        with open(path, encoding="ascii") as file:
            pid = int(file.read())
        os.kill(pid, signal.SIGKILL)


class First:
    """The container's first process: it sets everything up, and becomes the holder."""

    def __init__(self, order: dict[str, Any], program: int, failure: Failure) -> None:
        self._ready, ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                set_up(order)
                become_holder(program, lifeline, ready, marks())
            except Exception as error:  # nothing may leave this process but by its end
                failure.write("StartError", str(error))
            finally:
                os._exit(SETUP_FAILED)
        os.close(ready)
        os.close(lifeline)

    def stands(self) -> bool:
        sign = os.read(self._ready, 1)
        os.close(self._ready)
        return bool(sign)

    def end(self) -> None:
        os.close(self._lifeline)
        os.waitpid(self.pid, 0)


def set_up(order: dict[str, Any]) -> None:
    os.setsid()
    namespaces.unshare(OWN)
    namespaces.follow_the_node()
    namespaces.set_hostname(order["hostname"])
    namespaces.pivot(directory_root.make(order))
    if order["ids"]:
        namespaces.user_namespace(*order["ids"])


def become_holder(program: int, lifeline: int, ready: int, env: dict[str, str]) -> NoReturn:
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    for number, descriptor in enumerate((lifeline, ready, null)):
        os.dup2(descriptor, number)
    os.execve(program, [holder.NAME], env)  # noqa: S606


class Shared:
    """The process namespace of the pod. It is kept by a holder that reads a named pipe, which every container of the
    pod that runs holds open. Construction joins it, and makes it where it is not."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._directory = order["processes"]
        self._mark = os.fsencode(f"FARNODE_CONTAINER={order['env'].get('FARNODE_CONTAINER', '')}")
        lock = os.open(f"{self._directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._pid = self._joined() or self._made(order)
        finally:
            os.close(lock)
        self.clear()

    def _joined(self) -> int | None:
        try:
            self._lifeline = os.open(f"{self._directory}/pipe", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(f"{self._directory}/state", encoding="ascii") as file:
                pid, start_time = map(int, file.read().split())
        except (OSError, ValueError):
            return None
        if not container.lives(pid, start_time):
            os.close(self._lifeline)
            return None
        user, processes = (os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "pid"))
        for opened in (user, processes):
            namespaces.join(opened)
            os.close(opened)
        return pid

    def _made(self, order: dict[str, Any]) -> int:
        program = os.open(order["holder"], os.O_RDONLY | os.O_CLOEXEC)
        user = borrowed(order)
        pipe = f"{self._directory}/pipe"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pipe)
        os.mkfifo(pipe, 0o600)
        namespaces.join(user)
        namespaces.unshare(namespaces.CLONE_NEWPID)
        lifeline = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(lifeline, True)
        self._lifeline = os.open(pipe, os.O_WRONLY | os.O_CLOEXEC)
        stands, ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                env = {**marks(), "FARNODE_CONTAINER": ""}  # of the pod, and of none of its containers
                become_holder(program, lifeline, ready, env)
            finally:
                os._exit(SETUP_FAILED)
        for descriptor in (lifeline, ready, user, program):
            os.close(descriptor)
        if not os.read(stands, 1):
            raise ValueError("the processes of the pod could not be kept together")
        os.close(stands)
        container.write_state(f"{self._directory}/state", pid)
        return pid

    def clear(self) -> None:
        """Kill what a run of this container left."""
        for pid in tree.descendants(self._pid):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    marked = self._mark in file.read().split(b"\0")
                if marked:
                    os.kill(pid, signal.SIGKILL)
