"""A box whose gateway finds wrappers of Slurm's commands first on its PATH: they write down every call, and misbehave
on demand."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults import calls
from tests.faults.sites import INSIDE
from tests.sites import BoxSite
from tests.testbed import SlurmSite
from tests.testbed.machine import USER_PATH

TOOLS = f"{INSIDE}/tools"
RECORD = calls.RECORD.format(log=f"{INSIDE}/calls")
PLAIN = 'exec "/usr/bin/${0##*/}" "$@"\n'
SBATCH = f"""\
case $(cat {INSIDE}/mode 2>/dev/null) in
lost) echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1 ;;
limit)
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's" \\
        "size and/or time limits)" >&2
    exit 1 ;;
hang) exec sleep 1000 ;;
crash) kill -9 $$ ;;
hang-after) /usr/bin/sbatch "$@" >/dev/null; exec sleep 1000 ;;
crash-after) /usr/bin/sbatch "$@" >/dev/null; kill -9 $$ ;;
silent) /usr/bin/sbatch "$@" >/dev/null ;;
noise)
    echo "Welcome! 12 users, 3 jobs"; echo "sbatch: lua: hello" >&2
    /usr/bin/sbatch "$@"; code=$?
    echo "Have a nice day 2026"; exit $code ;;
*) exec /usr/bin/sbatch "$@" ;;
esac
"""
SQUEUE = f"""\
if [ -e {INSIDE}/squeue-is-down ]; then
    echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
fi
"""
SCRIPTS = {**dict.fromkeys(calls.COMMANDS, PLAIN), "sbatch": SBATCH, "squeue": SQUEUE + PLAIN}


class Wrapped(BoxSite):
    def __init__(self, box: SlurmSite, settings: Mapping[str, Any]) -> None:
        super().__init__(box, settings)
        tools = self.directory / "tools"
        tools.mkdir()
        for name, script in SCRIPTS.items():
            (tools / name).write_text(f"#!/bin/sh\n{RECORD}{script}")
            (tools / name).chmod(0o755)

    def _launch(self) -> subprocess.Popen[Any]:
        argv = ["env", f"PATH={TOOLS}:{USER_PATH}", f"FARNODE_CONFIG={INSIDE}/config.yaml"]
        argv += ["farnode", "gateway", "start", "-c", f"{INSIDE}/gateway.yaml"]
        with self.log.open("a") as out:
            return self.box.machine().popen("alice", argv, stdout=out.fileno(), stderr=subprocess.STDOUT)

    def sbatch_does(self, mode: str) -> None:
        """From its next call on; "" what it should."""
        new = self.directory / "mode.new"
        new.write_text(mode)
        new.rename(self.directory / "mode")

    def calls(self, *commands: str) -> Sequence[calls.Call]:
        """Those made so far, of these commands or of all."""
        return [call for call in calls.read(self.directory / "calls") if not commands or call.command in commands]

    def squeue_is_down(self, down: bool) -> None:
        flag = self.directory / "squeue-is-down"
        if down:
            flag.touch()
        else:
            flag.unlink()

    def jobs(self) -> list[str]:
        """Names of all jobs Slurm knows of, ended ones too."""
        return self.queue("%j", "--states=all")

    def queue(self, form: str, *options: str) -> list[str]:
        """A line for each job that waits or runs, elements of arrays singly; asked by root, past the wrappers."""
        listed = self.box.run("root", ["squeue", "--all", "--array", "--noheader", *options, f"--format={form}"])
        return listed.stdout.splitlines()
