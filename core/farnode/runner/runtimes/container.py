"""Apptainer's container, from inside a process of one thread: started, found, joined.

Apptainer mounts the image and makes the namespaces; the only program it runs is the holder. The container's program
does not come from apptainer: it is forked here and joins the holder's namespaces. So its environment, arguments and
working directory are exact (apptainer would pass them through a shell), an image needs no shell, a program that does
not exist is told from one that fails, its exit status is not in doubt, and volumes are mounted by the same code as
without apptainer. A second program of the container (exec) is started in the same way.

When this process ends, however it ends, the holder reads the end of its input and takes the container, and with its
process namespace all that runs there, with it.
"""

from __future__ import annotations

import contextlib
import os
import signal

from . import holder, namespaces, program, tree
from .failure import SETUP_FAILED, Failure
from .keeper import Apptainer
from .root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INSIDE = "/.farnode"
JOINED = ("user", "ipc", "uts", "pid")
"""The mount namespace is joined last, by the program's process alone: this one still needs the node's files."""
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
LIBRARIES = "/.singularity.d/libs"
"""Where apptainer shows the node's GPU libraries."""
PREFIXES = ("APPTAINER_", "SINGULARITY_")
NAMES = ("PS1", "PROMPT_COMMAND", "PWD", "OLDPWD", "SHLVL", "HOME", "_")
"""Of what apptainer adds to an image's environment."""


def run(order: dict[str, Any], failure: Failure) -> int:
    """A container from its start to its end; the exit status of its program, 128 + n when signal n ended it."""
    wait_for_signals()
    stage = order["stage"]
    os.makedirs(stage, mode=0o700, exist_ok=True)
    binds = []
    for number, (source, _target, _read_only) in enumerate(order["mounts"]):
        link = f"{stage}/{number}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(source, link)  # so that apptainer sees no path a user wrote
        binds.append(f"{link}:{INSIDE}/{number}")
    env = {**order["tool_env"], order["bind_variable"]: ",".join([*binds, f"{order['holder']}:{INSIDE}/{holder.NAME}"])}
    apptainer = Apptainer(order["tool"], env, order["log"])
    try:
        start_time = tree.stat_of(apptainer.holder)[3]
        with open(order["state"], "w", encoding="ascii") as file:
            file.write(f"{apptainer.holder} {start_time}")
        mounts = [(f"{INSIDE}/{number}", target, ro) for number, (_, target, ro) in enumerate(order["mounts"])]
        return inside(apptainer.holder, order, mounts, failure)
    finally:
        apptainer.end()


def one_more(order: dict[str, Any], failure: Failure) -> int:
    """One more program in a container that runs; ValueError when it does not."""
    wait_for_signals()
    try:
        lives = tree.stat_of(order["pid"])[3] == order["start_time"]
    except OSError:
        lives = False
    if not lives:
        raise ValueError("the container has ended")
    return inside(order["pid"], order, [], failure)


def wait_for_signals() -> None:
    """Let them wait until `attend` takes them; one that is ignored would be lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, signal.SIGCHLD})
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_DFL)


def inside(pid: int, order: dict[str, Any], mounts: list[tuple[str, str, bool]], failure: Failure) -> int:
    """Run the order's program in the namespaces of the holder `pid`, to its end."""
    env = {**image_environment(pid, order["gpus"]), **order["env"]}
    if order["gpus"] and LIBRARIES not in env.get("LD_LIBRARY_PATH", "").split(":"):
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, (env.get("LD_LIBRARY_PATH"), LIBRARIES)))
    flags = os.O_RDONLY | os.O_CLOEXEC
    mount_namespace = os.open(f"/proc/{pid}/ns/mnt", flags)
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    opened = {kind: os.open(f"/proc/{pid}/ns/{kind}", flags) for kind in JOINED}
    apart = [kind for kind in JOINED if os.stat(opened[kind]).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino]
    for kind in apart:
        namespaces.join(opened[kind])
    if "uts" in apart:
        namespaces.set_hostname(order["hostname"])
    if order["tty"]:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        namespaces.leave_terminal()
    child = os.fork()
    if child == 0:
        try:
            namespaces.join(mount_namespace)
            os.fchdir(root)
            os.chroot(".")
            settle(mounts, order["cwd"])
            os.setsid()
            if order["tty"]:
                namespaces.control_terminal()
            namespaces.die_with_parent(signal.SIGKILL)
            namespaces.no_new_privileges()
            program.become(order["argv"], env, order["cwd"])
        except (OSError, ValueError) as error:
            failure.write("StartError", str(error))
        finally:
            os._exit(SETUP_FAILED)
    for descriptor in (mount_namespace, root, *opened.values()):
        os.close(descriptor)  # else the image is busy when it shall be unmounted
    return attend(child)


def settle(mounts: list[tuple[str, str, bool]], cwd: str) -> None:
    """Volumes to their places, and out of the way the place where apptainer left them; a missing working directory is
    made, as other runtimes do."""
    root = Root("", owned=True)
    for source, target, read_only in mounts:
        root.place(source, target, read_only)
    for source, _target, _read_only in mounts:
        namespaces.detach(source)
    with contextlib.suppress(OSError, ValueError):
        root.directory(cwd)


def image_environment(pid: int, gpus: bool) -> dict[str, str]:
    """What the image says, as apptainer gave it to the holder."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [os.fsdecode(pair).partition("=") for pair in file.read().split(b"\0") if pair]
    env = {name: value for name, _, value in pairs if not name.startswith(PREFIXES) and name not in NAMES}
    if env.get("LANG") == "C":
        del env["LANG"]
    if not gpus and env.get("LD_LIBRARY_PATH") == LIBRARIES:
        del env["LD_LIBRARY_PATH"]
    return env


def attend(child: int) -> int:
    """Pass signals on until the child has ended; its exit status, 128 + n when signal n ended it."""
    while True:
        got = signal.sigwait({*PASSED_ON, signal.SIGCHLD})
        if got != signal.SIGCHLD:
            os.kill(child, got)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
