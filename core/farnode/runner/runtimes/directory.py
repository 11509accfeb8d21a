"""Containers from images that are directories, in a user namespace that a tool of the site makes (see `sandbox`).

The tool is started with the same few words for every container, and nothing a user wrote is among them: it does not
even learn of the image. So containers are the same under all of these tools, and what a version of one can do or not
plays no part:

    root directory      the image's, written to in memory (an overlay on tmpfs, Linux 5.11), or read-only
    /tmp, /var/tmp      the pod's own directories on the node, unless the root directory is read-only; the home
    /dev/shm            directory, too, where programs run as the site's user
    namespaces          user, mount, process, IPC and host name; the network is the node's
    processes           the container's, and those of its pod where it shares them; process 1 is a holder
    users               under podman root, without rights outside of the container; else the site's user
    GPUs                the devices and, for NVIDIA, the node's driver libraries (see `driver`)

Of another pod of the same user a container sees nothing but its network and how busy the node is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from ..runtime import Command, ContainerSpec, Mount
from . import batch, driver, holder, image, launch, program
from .root import in_order


class Loan(NamedTuple):
    """What to start to have a user namespace made in which user 0 is ours. `leaves` names a file with the number of a
    process it leaves behind, or is empty."""

    argv: list[str]
    env: dict[str, str]
    leaves: str = ""


class Tool(Protocol):
    """`as_root`: programs run as root, which is the site's user in disguise."""

    name: str
    programs: tuple[str, ...]
    as_root: bool

    def loan(self, path: str, holder: str, env: dict[str, str], directory: str) -> Loan:
        """The tool at `path` around the holder; `directory` is there for files of its own."""


class DirectoryRuntime(image.ImageRuntime):
    def __init__(self, tool: Tool, environ: Mapping[str, str]) -> None:
        super().__init__(tool.name, tool.programs, environ)
        self._tool = tool
        self._libraries: list[driver.File] = []

    def probe(self) -> str:
        """By running a container whose image has nothing in it but the holder."""
        self.prepare()
        with tempfile.TemporaryDirectory(prefix="farnode-") as directory:
            spec = empty_container(directory, self.holder)
            command = self.start(spec)
            said, words = launch.attempt(command.argv, command.env)
            if said != holder.SIGN:
                failure = launch.failure(spec)
                raise ValueError(failure.message if failure else words or "it ended without a word")
            self._libraries = driver.libraries()
            return self.version(self._loan(spec).env)

    def check_image(self, path: str) -> str | None:
        if os.path.isdir(path):
            return None
        return f"its image {path} is no directory, and {self.name} runs directories only"

    def start(self, spec: ContainerSpec) -> Command:
        return launch.command(spec, self._order(spec), batch.for_tools(self.environ))

    def env(self, spec: ContainerSpec) -> dict[str, str]:
        env = {"PATH": program.DEFAULT_PATH, **super().env(spec)}
        if spec.gpus and self._libraries:
            env["LD_LIBRARY_PATH"] = ":".join(filter(None, (env.get("LD_LIBRARY_PATH"), driver.LIBRARIES)))
        return env

    def home(self) -> str:
        return "/root" if self._tool.as_root else super().home()

    def _loan(self, spec: ContainerSpec) -> Loan:
        env = batch.for_tools(self.environ)
        return self._tool.loan(self.path, self.holder, env, os.path.join(spec.directory, "tool"))

    def _order(self, spec: ContainerSpec) -> launch.Order:
        loan = self._loan(spec)
        mounts = image.mounts(spec, None if self._tool.as_root else self.home())
        if spec.gpus:
            mounts += driver.mounts(self._libraries)
        return {
            **self.order(spec, spec.argv_entry or [image.RUNSCRIPT], spec.tty),
            "kind": "sandbox",
            "tool": loan.argv,
            "tool_env": loan.env,
            "leaves": loan.leaves,
            "holder": self.holder,
            "image": spec.image["path"],
            "base": os.path.join(spec.directory, "base"),
            "root_size": spec.root_size,
            "shm": spec.shm,
            "mounts": in_order(mounts),
            "read_only_root": spec.read_only_root,
            "processes": spec.processes,
            "user": ("root", 0, 0, "/root") if self._tool.as_root else image.user(),
            "ids": None if self._tool.as_root else (os.getuid(), os.getgid()),
            "log": os.path.join(spec.directory, "tool.log"),
            "state": image.state_path(spec),
            "failure": launch.failure_path(spec),
        }


def empty_container(directory: str, program_there: str) -> ContainerSpec:
    """A container with one program and nothing else, to see whether it can be run."""
    made = {name: os.path.join(directory, name) for name in ("image", "home", "tmp", "shm", "run")}
    for path in made.values():
        os.mkdir(path, 0o700)
    log = os.path.join(directory, "log")
    os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return ContainerSpec(
        name="probe",
        argv_entry=["/program"],
        env={},
        working_dir=None,
        mounts=[Mount(program_there, "/program", True)],
        image={"path": made["image"]},
        tty=False,
        gpus=[],
        home=made["home"],
        tmp=made["tmp"],
        shm=made["shm"],
        directory=made["run"],
        hostname="probe",
        mpi=False,
        termination_log=Mount(log, "/dev/termination-log", False),
    )
