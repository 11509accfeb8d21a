"""What can be done with a site that is up: run commands in it, look at it, break it.

Nothing here brings a site up or ends it; :mod:`tests.testbed.site` does.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.testbed import build, host, provision
from tests.testbed.host import TestbedError
from tests.testbed.machine import Inside, Machine, Process
from tests.testbed.registry import Registry
from tests.testbed.slurm import SiteSpec

RUN = host.CACHE / "run"


class RunningSite:
    """A site by its spec; its processes and files may belong to another process."""

    def __init__(self, spec: SiteSpec | None = None) -> None:
        self.spec = SiteSpec() if spec is None else spec
        self.network = self.spec.network
        self.directory = RUN / self.spec.name
        self.registry = Registry(self.directory, self.network.hub)
        names = ["edge", *(f"n{i}" for i in range(1, self.spec.nodes + 1))]
        self._machines = {n: Machine(n, self.network.namespace(n), self.directory) for n in names}

    def is_up(self) -> bool:
        return self.machine().pid() is not None

    def home(self, user: str) -> Path:
        """Host path of a user's home: a UNIX socket made there inside the site can be reached by it from here."""
        return self.directory / "home" / user

    @property
    def conf(self) -> Path:
        """Slurm's configuration directory, the same on all machines: edit, then ``scontrol reconfigure``."""
        return self.directory / "slurm"

    def machine(self, node: int | None = None) -> Machine:
        """The edge, or compute node number ``node`` (from 1)."""
        return self._machines["edge" if node is None else f"n{node}"]

    def run(
        self,
        user: str,
        argv: Sequence[str],
        *,
        node: int | None = None,
        input: str | None = None,  # noqa: A002  # subprocess.run's word for it
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float | None = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as ``user`` on the edge or a node, and return what it printed."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.machine(node).popen(user, argv, env=env, stdin=stdin) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(list(argv), process.returncode, out, err)
        if check and done.returncode:
            raise TestbedError(
                f"{user}: {' '.join(argv)} exited with {done.returncode}: {(err or out).strip()[-2000:]}"
            )
        return done

    def popen(
        self,
        user: str,
        argv: Sequence[str],
        *,
        node: int | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
    ) -> Inside:
        """Start a command as :meth:`run` does; signals sent to the result reach the command itself."""
        return self.machine(node).popen(user, argv, env=env, stdin=stdin, stdout=stdout, stderr=stderr)

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Wait until every node is up and has nothing to do."""

        def idle() -> bool:
            seen = self.run("root", ["sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D"], check=False)
            return seen.stdout.strip() == str(self.spec.nodes)

        try:
            host.wait_until(idle, f"all nodes of {self.spec.name} are idle", timeout)
        except TestbedError as error:
            raise TestbedError(f"{error}; {self.slurm_log()[-2000:]}") from None

    def slurm_log(self, node: int | None = None) -> str:
        """What slurmctld, or a node's slurmd, has logged so far."""
        name = "slurmctld" if node is None else "slurmd"
        return self.run("root", ["cat", f"/var/log/slurm/{name}.log"], node=node, check=False).stdout

    def processes(self, node: int | None = None) -> list[Process]:
        """All processes of the edge or a node, as seen inside."""
        return self.machine(node).processes()

    # -- faults ----------------------------------------------------------------------------------------------------

    def cut(self, node: int) -> None:
        """The wire between a node and the edge breaks; everything on both sides lives on."""
        self.network.set_link(node, up=False)

    def mend(self, node: int) -> None:
        self.network.set_link(node, up=True)

    def power_off(self, node: int) -> None:
        """The node dies at once and says nothing to anybody; its disk survives, its /tmp does not."""
        self.cut(node)
        self.machine(node).kill()

    def power_on(self, node: int) -> None:
        self.mend(node)
        self._start_node(node)

    def kill_slurmd(self, node: int) -> None:
        """kill -9 of slurmd; its jobs go on."""
        self._signal("/run/slurmd.pid", signal.SIGKILL, node)

    def start_slurmd(self, node: int) -> None:
        self.run("root", ["slurmd", "-N", f"n{node}"], node=node)

    def stop_slurmctld(self, sig: int = signal.SIGTERM) -> None:
        """Stop slurmctld; by SIGKILL it forgets what it had not saved, and gives job ids out again."""
        self._signal("/run/slurmctld.pid", sig)

    def start_slurmctld(self) -> None:
        self.run("root", ["slurmctld"])
        host.wait_until(lambda: not self.run("root", ["sinfo"], check=False).returncode, "slurmctld answers")

    def pause_slurmctld(self) -> None:
        """slurmctld hangs: connections are taken and never answered."""
        self._signal("/run/slurmctld.pid", signal.SIGSTOP)

    def resume_slurmctld(self) -> None:
        self._signal("/run/slurmctld.pid", signal.SIGCONT)

    def stop_slurmdbd(self) -> None:
        self._signal("/run/slurm/slurmdbd.pid", signal.SIGTERM)

    def start_slurmdbd(self) -> None:
        self.run("root", ["setpriv", "--reuid=slurm", "--regid=slurm", "--clear-groups", "slurmdbd"])
        host.wait_until(
            lambda: not self.run("root", ["sacctmgr", "show", "cluster"], check=False).returncode, "slurmdbd"
        )

    def _signal(self, pid_file: str, sig: int, node: int | None = None) -> None:
        pid = self.run("root", ["cat", pid_file], node=node).stdout.strip()
        self.run("root", ["kill", f"-{int(sig)}", pid], node=node)
        if sig in (signal.SIGKILL, signal.SIGTERM):
            host.wait_until(lambda: int(pid) not in {p.pid for p in self.processes(node)}, f"{pid_file}'s process ends")

    def _start_node(self, node: int) -> None:
        self.machine(node).start(provision.compute_node(self.directory, build.root_file_system()))
