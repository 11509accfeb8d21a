"""Sets one container up and becomes its program: what the runner starts where it cannot start the program itself.

    plain      the program, with a terminal
    mounted    the program on the node, with volumes in a namespace of its own
    joined     one more program in the namespaces of a process
    apptainer  apptainer's container, and a program in it
    sandbox    a container out of a directory, and a program in it
    inside     one more program in either

The order comes in a file (see `runtimes.launch`); `probe` in its place tells by the exit status whether this node lets
an ordinary user make a namespace. All modules must be imported before the root directory changes: afterwards Python's
own files are out of sight.
"""

from __future__ import annotations

import marshal
import os
import sys
import time

from .runtimes import namespaces, program
from .runtimes.failure import SETUP_FAILED, Failure
from .runtimes.root import Root

TYPE_CHECKING = False
"""As `typing`'s, which would take longer to import than a container takes to set up."""
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


def main(name: str) -> int:
    os.umask(0o022)
    if name == "probe":
        return probe()
    with open(name, "rb") as file:
        order = marshal.load(file)  # noqa: S302 written by our own runner, for us alone to read
    os.unlink(name)
    if order["began"] is not None:
        os.set_inheritable(order["began"], False)
    failure = Failure(order.get("failure"))
    try:
        return START[order["kind"]](order, failure)
    except (OSError, ValueError) as error:
        failure.write("StartError", str(error))
        return failure.status(error)


def probe() -> int:
    try:
        namespaces.own_user_namespace()
        namespaces.mount("farnode", "/tmp", 0, "tmpfs")  # noqa: S108 in a namespace that ends with this process
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def become(order: dict[str, Any]) -> NoReturn:
    if order["tty"]:
        namespaces.control_terminal()
    program.become(order["argv"], order["env"], order["cwd"])
    raise AssertionError("the program was not started")


def plain(order: dict[str, Any], _failure: Failure) -> NoReturn:
    become(order)


def mounted(order: dict[str, Any], _failure: Failure) -> NoReturn:
    os.makedirs(order["root"], mode=0o700, exist_ok=True)
    namespaces.own_user_namespace()
    root = Root.of_the_node(order["root"])
    for source, target, read_only in order["mounts"]:
        root.place(source, target, read_only)
    namespaces.pivot(root.path)
    namespaces.limit_processes(order["process_limit"])
    become(order)


def joined(order: dict[str, Any], _failure: Failure) -> NoReturn:
    """In the namespaces of `pid`, which made its own as `mounted` does."""
    from_pid = order["pid"]
    _await_root(from_pid)
    opened = [os.open(f"/proc/{from_pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "mnt")]
    root = os.open(f"/proc/{from_pid}/root", os.O_PATH | os.O_CLOEXEC)
    for descriptor in opened:
        namespaces.join(descriptor)
    os.fchdir(root)
    os.chroot(".")
    namespaces.limit_processes(order["process_limit"])
    become(order)


def _await_root(pid: int) -> None:
    """A container counts as running from its launcher's start; its volumes are in place when its root is its own."""
    deadline = time.monotonic() + 10
    while os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/")):
        if time.monotonic() > deadline:
            raise ValueError("the container is still being set up")
        time.sleep(0.01)


def apptainer(order: dict[str, Any], failure: Failure) -> int:
    from .runtimes import apptainer_container  # only here: it costs what no other order should pay

    return with_tool(apptainer_container.run, order, failure)


def sandbox(order: dict[str, Any], failure: Failure) -> int:
    from .runtimes import sandbox as container

    return with_tool(container.run, order, failure)


def with_tool(run: Callable[[dict[str, Any], Failure], int], order: dict[str, Any], failure: Failure) -> int:
    from .runtimes import keeper

    try:
        return run(order, failure)
    except keeper.ToolFailed as error:
        failure.write("ContainerCannotRun", str(error))
        return SETUP_FAILED


def inside(order: dict[str, Any], failure: Failure) -> int:
    from .runtimes import apptainer_container, container

    if order["by"] == "apptainer":
        return apptainer_container.one_more(order, failure)
    return container.one_more(order, order["env"], failure)


START = {
    "plain": plain,
    "mounted": mounted,
    "joined": joined,
    "apptainer": apptainer,
    "sandbox": sandbox,
    "inside": inside,
}
