"""Apptainer's container from its start to its end, from inside a process of one thread.

Apptainer mounts the image and makes the namespaces; the only program it runs is the holder (see `container`).
"""

from __future__ import annotations

import contextlib
import os

from . import container, holder, namespaces, user
from .keeper import Keeper
from .root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .failure import Failure

INSIDE = "/.farnode"
FULL = "/dev/full"
"""The one of the usual devices that apptainer leaves out."""
LIBRARIES = "/.singularity.d/libs"
"""Where apptainer shows the node's GPU libraries."""
PREFIXES = ("APPTAINER_", "SINGULARITY_")
NAMES = ("PS1", "PROMPT_COMMAND", "PWD", "OLDPWD", "SHLVL", "HOME", "_")
"""Of what apptainer adds to an image's environment."""
REPLACED = ("/tmp", "/var/tmp")  # noqa: S108
"""Directories that apptainer gives a container for its own to write in."""
OTHERS = ("/dev", "/proc", "/sys")
"""File systems that are no part of the root directory."""


def run(order: dict[str, Any], failure: Failure) -> int:
    """The exit status of its program, 128 + n when signal n ended it. Raises ToolFailed with apptainer's words."""
    container.wait_for_signals()
    stage = order["stage"]
    os.makedirs(stage, mode=0o700, exist_ok=True)
    binds = []
    for number, (source, _target, _read_only) in enumerate(order["mounts"]):
        link = f"{stage}/{number}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(source, link)  # so that apptainer sees no path a user wrote
        binds.append(f"{link}:{INSIDE}/{number}")
    binds += [f"{order['holder']}:{INSIDE}/{holder.NAME}", FULL]
    env = {**order["tool_env"], order["bind_variable"]: ",".join(binds)}
    apptainer = Keeper(order["tool"], env, order["log"])
    try:
        return container.run(
            apptainer.holder,
            order,
            environment(apptainer.holder, order),
            failure,
            settle=lambda: settle(order),
            started=lambda: container.write_state(order["state"], apptainer.holder),
        )
    finally:
        apptainer.end()


def one_more(order: dict[str, Any], failure: Failure) -> int:
    if not container.lives(order["pid"], order["start_time"]):
        raise ValueError("the container has ended")
    return container.one_more(order, environment(order["pid"], order), failure)


def settle(order: dict[str, Any]) -> None:
    """Volumes to their places, and out of the way the place where apptainer left them; a missing working directory is
    made, as other runtimes do."""
    root = Root("", owned=True)
    if order["read_only_root"]:
        for target in REPLACED:
            with contextlib.suppress(OSError):
                namespaces.detach(target)
    places = [root.place(f"{INSIDE}/{n}", target, ro) for n, (_, target, ro) in enumerate(order["mounts"])]
    for number in range(len(places)):
        namespaces.detach(f"{INSIDE}/{number}")
    namespaces.protect_below("/sys")  # as `directory_root` does
    user.add(root, *order["user"])
    with contextlib.suppress(OSError, ValueError):
        root.directory(order["cwd"])
    if order["read_only_root"]:
        protect([*places, *OTHERS])


def protect(but: list[str]) -> None:
    """Let nothing be written but below the places `but`."""
    for target in set(namespaces.mounted()):
        if not any(target == each or target.startswith(each + "/") for each in but):
            namespaces.protect(target)


def environment(pid: int, order: dict[str, Any]) -> dict[str, str]:
    """What the image says, as apptainer gave it to the holder, and what the pod says."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [os.fsdecode(pair).partition("=") for pair in file.read().split(b"\0") if pair]
    env = {name: value for name, _, value in pairs if not name.startswith(PREFIXES) and name not in NAMES}
    if env.get("LANG") == "C":
        del env["LANG"]
    if not order["gpus"] and env.get("LD_LIBRARY_PATH") == LIBRARIES:
        del env["LD_LIBRARY_PATH"]
    env.update(order["env"])
    if order["gpus"] and LIBRARIES not in env.get("LD_LIBRARY_PATH", "").split(":"):
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, (env.get("LD_LIBRARY_PATH"), LIBRARIES)))
    return env
