"""Who survives whom: job script, supervisor, runner, and what containers leave behind. Real processes, real kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from farnode.gateway.pack import pack

SCRIPT = Path(__file__).parents[2] / "core/farnode/runner/job.sh"
RUNNER = """
    import os, signal, subprocess, sys, time
    here = os.environ["FARNODE_ALLOCATION"]
    def say(name, text=""):
        with open(f"{here}/{name}.new", "w") as file:
            file.write(str(text))
        os.rename(f"{here}/{name}.new", f"{here}/{name}")
    def on(number, _frame):
        say(signal.Signals(number).name)
        if number == signal.SIGTERM:
            sys.exit(5)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, on)
    say("ignored", signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
    plain = subprocess.Popen(["sleep", "1000"])
    escaped = subprocess.Popen(["setsid", "sh", "-c", "env -i sleep 1001 & echo $! >escaped"], cwd=here)
    escaped.wait()
    say("runner", os.getpid())
    lifeline = int(os.environ["FARNODE_LIFELINE"])
    while True:
        try:
            os.read(lifeline, 1)
            break
        except InterruptedError:
            pass
    say("lifeline")
    plain.kill()
    if os.path.exists(f"{here}/stubborn"):
        time.sleep(1000)
"""
DISPATCH = """
    import sys
    if sys.argv[1] == "supervise":
        from farnode.runner.supervisor import main
        sys.exit(main([sys.executable, "-I", "-S", sys.argv[0], "run"]))
    import runner
"""


@pytest.fixture
def allocation(tmp_path: Path) -> Iterator[Path]:
    """An allocation's directory whose runner is one of the test's."""
    directory = tmp_path / f"nonce{os.urandom(4).hex()}"
    directory.mkdir()
    archive = directory / "runner.pyz"
    archive.write_bytes(pack())
    with zipfile.ZipFile(archive) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    contents["__main__.py"] = textwrap.dedent(DISPATCH).encode()
    contents["runner.py"] = textwrap.dedent(RUNNER).encode()
    with zipfile.ZipFile(archive, "w") as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    yield directory
    for pid in (*processes(directory), *escaped(directory)):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def supervisor(allocation: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-I", "-S", allocation / "runner.pyz", "supervise"]
    with ended(argv, {**environment(allocation), "FARNODE_NONCE": allocation.name}) as process:
        yield process


@pytest.fixture
def job(allocation: Path) -> Iterator[subprocess.Popen[bytes]]:
    with ended(["/bin/sh", SCRIPT], environment(allocation)) as process:
        yield process


def environment(allocation: Path) -> dict[str, str]:
    return {"FARNODE_ALLOCATION": str(allocation), "FARNODE_PYTHON": sys.executable, "PATH": os.environ["PATH"]}


@contextmanager
def ended(argv: Sequence[str | Path], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def processes(allocation: Path) -> list[int]:
    """The allocation's, found by the mark, and the one that took its mark off."""
    mark = f"FARNODE_NONCE={allocation.name}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def escaped(allocation: Path) -> list[int]:
    """What the runner started that has neither its session nor any environment; it wrote its pid down."""
    path = allocation / "escaped"
    pid = int(path.read_text() or 0) if path.exists() else 0
    return [pid] if pid and Path(f"/proc/{pid}/exe").exists() else []


def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def up(allocation: Path) -> int:
    """The runner's pid, once it runs and its containers do."""
    until((allocation / "runner").exists, "the runner runs")
    until(lambda: bool(escaped(allocation)), "something escaped")
    return int((allocation / "runner").read_text())


def supervisor_of(runner: int) -> int:
    return int(Path(f"/proc/{runner}/stat").read_text().rpartition(")")[2].split()[1])


def gone(allocation: Path, but: int = 0) -> bool:
    return not [pid for pid in processes(allocation) if pid != but]


def test_when_the_runner_is_killed_everything_below_it_dies(
    allocation: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    os.kill(up(allocation), signal.SIGKILL)
    assert supervisor.wait(10) == 128 + signal.SIGKILL
    assert gone(allocation)
    assert escaped(allocation) == []
    said = json.loads((allocation / "supervisor.json").read_text())
    assert (said["status"], said["words"]) == (-9, "the runner was ended by signal 9")
    assert abs(said["at"] - time.time()) < 60


def test_signals_reach_the_runner_and_its_status_comes_back(
    allocation: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    up(allocation)
    supervisor.send_signal(signal.SIGUSR1)
    until((allocation / "SIGUSR1").exists, "the warning arrives")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(10) == 5
    assert escaped(allocation) == []


def test_when_the_supervisor_is_killed_the_runner_learns_it(
    allocation: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    up(allocation)
    supervisor.kill()
    supervisor.wait()
    until((allocation / "lifeline").exists, "the runner read the end of the lifeline")
    until(lambda: gone(allocation), "the runner ended its pods and itself")
    assert escaped(allocation)  # only a cgroup could find it: it left no trace of whose it was


def test_the_job_script_passes_signals_on_and_returns_the_status(
    allocation: Path, job: subprocess.Popen[bytes]
) -> None:
    up(allocation)
    job.send_signal(signal.SIGUSR1)
    until((allocation / "SIGUSR1").exists, "the warning arrives")
    assert (allocation / "ignored").read_text() == "False"
    job.send_signal(signal.SIGTERM)
    assert job.wait(10) == 5
    assert gone(allocation)
    assert escaped(allocation) == []


def test_the_job_script_waits_for_what_ends_by_itself_and_sweeps_the_rest(
    allocation: Path, job: subprocess.Popen[bytes]
) -> None:
    (allocation / "stubborn").touch()
    runner = up(allocation)
    os.kill(supervisor_of(runner), signal.SIGKILL)
    until((allocation / "lifeline").exists, "the runner had time to read the end of the lifeline")
    assert job.wait(20) == 128 + signal.SIGKILL
    assert gone(allocation)


def test_the_job_script_sweeps_when_runner_and_supervisor_are_killed(
    allocation: Path, job: subprocess.Popen[bytes]
) -> None:
    runner = up(allocation)
    supervisor = supervisor_of(runner)
    os.kill(supervisor, signal.SIGSTOP)  # else it would clean up before it is killed
    os.kill(runner, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    assert job.wait(20) == 128 + signal.SIGKILL
    assert gone(allocation)


def test_the_sweep_spares_a_marked_parent(allocation: Path) -> None:
    """A site without a batch system has a process above the script that carries the mark."""
    text = '/bin/sh "$1" & child=$!; trap \'kill "$child"; wait "$child"; exit $?\' TERM; wait "$child"; exit 99'
    env = {**environment(allocation), "FARNODE_NONCE": allocation.name}
    with ended(["/bin/sh", "-c", text, "keeper", SCRIPT], env) as keeper:
        os.kill(supervisor_of(up(allocation)), signal.SIGSTOP)
        os.kill(supervisor_of(int((allocation / "runner").read_text())), signal.SIGKILL)
        assert keeper.wait(20) == 99
        assert gone(allocation)


def test_the_sweep_spares_other_allocations(allocation: Path, job: subprocess.Popen[bytes]) -> None:
    with ended(["sleep", "1000"], {"FARNODE_NONCE": allocation.name + "x", "PATH": os.environ["PATH"]}) as other:
        up(allocation)
        job.send_signal(signal.SIGTERM)
        assert job.wait(10) == 5
        assert other.poll() is None
