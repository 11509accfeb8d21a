"""A program in a container that a holder keeps open, from inside a process of one thread.

The container's program does not come from the tool that made the container: it is forked here and joins the holder's
namespaces. So its environment, arguments and working directory are exact (tools pass them through shells), an image
needs no shell, a program that does not exist is told from one that fails, its exit status is not in doubt, and volumes
are mounted by one code. A second program of the container (exec) is started in the same way.

When this process ends, however it ends, the holder reads the end of its input and takes the container, and with its
process namespace all that runs there, with it.
"""

from __future__ import annotations

import contextlib
import os
import signal

from . import namespaces, program, terminal, tree
from .failure import SETUP_FAILED, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

JOINED = ("ipc", "uts", "pid")
"""The mount namespace is joined last, by the program's process alone: this one still needs the node's files."""
KEPT = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD)
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT)
PASSED_ON = signal.valid_signals() - {*KEPT, *FAULTS, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP}
"""To the program: whatever may be a stop signal."""
CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31)
"""Those of root in a container as podman has them: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
net_bind_service, sys_chroot, setfcap. They count in the container's user namespace only."""


def wait_for_signals() -> None:
    """Let them wait until `attend` takes them; one that is ignored would be lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_DFL)


def write_state(path: str, pid: int) -> None:
    """Say that programs can join the holder `pid` from now on."""
    start_time = tree.start_of(pid)
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(f"{pid} {start_time}")
    os.replace(path + ".new", path)


def lives(pid: int, start_time: int) -> bool:
    try:
        return tree.start_of(pid) == start_time
    except OSError:
        return False


class Namespaces:
    """Those of the holder `pid`, opened. User namespaces may be nested: mounts then belong to the outer one, and
    programs run in the inner one."""

    def __init__(self, pid: int) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        self.root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
        self._mount = os.open(f"/proc/{pid}/ns/mnt", flags)
        self._user = os.open(f"/proc/{pid}/ns/user", flags)
        self._owner = namespaces.owner_of(self._mount)
        self._others = {kind: os.open(f"/proc/{pid}/ns/{kind}", flags) for kind in JOINED}

    def enter(self) -> bool:
        """All but those of `finish`; says whether the host name is the container's own."""
        if not same(self._owner, os.stat("/proc/self/ns/user")):
            namespaces.join(self._owner)
        apart = [kind for kind, opened in self._others.items() if not same(opened, os.stat(f"/proc/self/ns/{kind}"))]
        for kind in apart:
            namespaces.join(self._others[kind])
        return "uts" in apart

    def enter_root(self) -> None:
        namespaces.join(self._mount)
        os.fchdir(self.root)
        os.chroot(".")

    def finish(self) -> None:
        if not same(self._user, os.fstat(self._owner)):
            namespaces.join(self._user)

    def close(self) -> None:
        """Else the image is busy when it shall be unmounted."""
        for descriptor in (self.root, self._mount, self._user, self._owner, *self._others.values()):
            os.close(descriptor)


def same(descriptor: int, other: os.stat_result) -> bool:
    return os.path.samestat(os.fstat(descriptor), other)


def run(
    pid: int,
    order: dict[str, Any],
    env: dict[str, str],
    failure: Failure,
    settle: Callable[[], None] = lambda: None,
    started: Callable[[], None] = lambda: None,
) -> int:
    """Run the order's program in the namespaces of the holder `pid`, to its end: its exit status, 128 + n when signal
    n ended it. `settle` is called in the container, as its last preparation, and `started` here when the program
    runs."""
    there = Namespaces(pid)
    reading, writing = os.pipe()
    if there.enter():
        namespaces.set_hostname(order["hostname"])
    shown = None
    if order["tty"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        shown = terminal.take()
        namespaces.leave_terminal()
    child = os.fork()
    if child == 0:
        try:
            there.enter_root()
            settle()
            if shown is not None:
                terminal.show(shown, order["terminal"])
            os.setsid()
            if order["tty"]:
                namespaces.control_terminal()
            there.finish()
            namespaces.die_with_parent(signal.SIGKILL)
            namespaces.limit_capabilities(CAPABILITIES)
            namespaces.no_new_privileges()
            namespaces.limit_processes(order["process_limit"])
            program.become(order["argv"], env, order["cwd"])
        except Exception as error:  # nothing may leave this process but by its end
            os.write(writing, b"x")
            failure.write("StartError", str(error))
            os._exit(failure.status(error))
        finally:
            os._exit(SETUP_FAILED)
    os.close(writing)
    if order["began"] is not None:
        os.close(order["began"])
    if not os.read(reading, 1):  # closed as the program starts
        started()
    os.close(reading)
    try:
        return attend(child)
    finally:
        if shown is not None and order["terminal"] != terminal.MAIN:
            hide_terminal(there, order["terminal"])
        there.close()


def hide_terminal(there: Namespaces, name: str) -> None:
    with contextlib.suppress(OSError):  # where the container has ended, nothing starts any more
        child = os.fork()
        if child == 0:
            try:
                there.enter_root()
                terminal.hide(name)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def one_more(order: dict[str, Any], env: dict[str, str], failure: Failure) -> int:
    """One more program in a container that runs; ValueError when it does not."""
    wait_for_signals()
    if not lives(order["pid"], order["start_time"]):
        raise ValueError("the container has ended")
    return run(order["pid"], order, env, failure)


def attend(child: int) -> int:
    """Pass signals on until the child has ended; its exit status, 128 + n when signal n ended it."""
    while True:
        got = signal.sigwait({*PASSED_ON, signal.SIGCHLD})
        if got != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, got)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
