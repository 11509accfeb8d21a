"""What a newcomer does first at a Slurm site, by the command line, against real Slurm and apptainer: runs a GPU pod,
looks at it from Slurm's side, watches, enters and ends a longer one, and cannot see anybody else's."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from farnode.cli.demo.cases import CASES
from tests.sites import BoxSite, wait_until
from tests.testbed import SiteSpec, SlurmSite, free_index
from tests.testbed.demo import client_of, fetch_images, settings

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[1] / "examples" / "pods" / "gpu.yaml"
FAILS_FIRST = """\
if [ ! -e /scratch/second ]; then echo first run; touch /scratch/second; exit 1; fi
echo second run: $CUDA_VISIBLE_DEVICES
i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done
"""
LONGER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "longer",
        "annotations": {"farnode.io/gpu-model": "a100", "farnode.io/dedicated": "true"},
    },
    "spec": {
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": "docker.io/library/busybox:1.36",
                "command": ["sh", "-c", FAILS_FIRST],
                "resources": {"limits": {"nvidia.com/gpu": 2}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    },
}


@dataclass(frozen=True)
class Person:
    """Somebody at this machine with a token; `farnode` is the command."""

    config: Path

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "FARNODE_CONFIG": str(self.config)}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "farnode.cli", "--site", "slurm", *words]

    def farnode(self, *words: str, check: bool = True, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), env=self.environ, capture_output=True, text=True, check=False, timeout=timeout
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture(scope="module")
def box() -> Iterator[SlurmSite]:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("the testbed needs root on a Debian machine")
    with SlurmSite(SiteSpec(index=free_index(), accounting=True, registry=True)) as box:
        fetch_images(box)
        yield box


@pytest.fixture(scope="module")
def site(box: SlurmSite) -> Iterator[BoxSite]:
    with BoxSite(box, {**settings(box), "pilots": {"idleAfter": "2s"}}) as site:
        yield site


@pytest.fixture(scope="module")
def alice(site: BoxSite, tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person(client_of(site, "alice", tmp_path_factory.mktemp("alice")))


@pytest.fixture(scope="module")
def bob(site: BoxSite, tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person(client_of(site, "bob", tmp_path_factory.mktemp("bob")))


@pytest.fixture
def longer(box: SlurmSite, alice: Person, tmp_path: Path) -> Iterator[Person]:
    """Alice, while a pod of hers runs for as long as she likes, for the second time, in a batch job of its own."""
    manifest = tmp_path / "longer.yaml"
    manifest.write_text(yaml.safe_dump(LONGER))
    alice.farnode("run", "-d", "-f", str(manifest))
    wait_until(lambda: "tick" in alice.farnode("logs", "longer", check=False).stdout, "the pod runs", 90)
    wait_until(lambda: len(queue(box, "name")) == 1, "pilots of earlier pods are given back", 30)
    yield alice
    alice.farnode("delete", "longer", "--now")
    wait_until(lambda: "Running" not in alice.farnode("ps").stdout, "the pod has ended", 60)
    alice.farnode("delete", "longer", "--purge")


def queue(box: SlurmSite, *fields: str, ended: bool = False) -> list[list[str]]:
    form = ":|,".join(fields) + ":|"
    rows = box.run("alice", ["squeue", "-h", *(["-t", "all"] if ended else []), "-O", form]).stdout.splitlines()
    return [row.split("|")[: len(fields)] for row in rows]


def gpus_of(box: SlurmSite, name: str) -> set[str]:
    """The indices Slurm says it has given to a running job."""
    text = box.run("alice", ["scontrol", "show", "job", "-d", "-o"]).stdout
    lines = [line for line in text.splitlines() if f"JobName={name} " in line]
    given = [part for line in lines for part in re.findall(r"GRES=\S*\(IDX:([\d,-]+)\)", line)]
    return {index for part in given for index in _expanded(part)}


def _expanded(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from map(str, range(int(first), int(last or first) + 1))


def test_a_gpu_pod(box: SlurmSite, alice: Person) -> None:
    """Its exit code, its log, and Slurm's own account of the one job it was, while others hold GPUs."""
    holder = ["sbatch", "--parsable", "-w", "n1", "--gres=gpu:a100:1", "--output=/dev/null", "--wrap", "sleep 600"]
    held = box.run("bob", holder).stdout.strip()
    try:
        wait_until(lambda: gpus_of(box, "wrap"), "bob's job holds a GPU")
        running = subprocess.Popen(
            alice.command("run", str(EXAMPLE)), env=alice.environ, stdout=subprocess.PIPE, text=True
        )
        seen: dict[str, set[str]] = {}
        while running.poll() is None:
            for (name,) in queue(box, "name"):
                if name.startswith("farnode-") and (given := gpus_of(box, name)):
                    seen[name] = given
        output = running.communicate(timeout=60)[0]
    finally:
        box.run("bob", ["scancel", held])
    assert running.returncode == 0
    ((name, given),) = seen.items()
    assert output == f"devices: {','.join(sorted(given))}\n"
    rows = [row for row in queue(box, "name", "account", "comment", ended=True) if row[0].startswith("farnode-")]
    assert rows == [[name, "proj1", "farnode site=slurm owner=alice"]]


def test_the_demo_on_slurm() -> None:
    """What `scripts/demo --site slurm` runs, on a site of its own that is gone afterwards."""
    argv = [sys.executable, "-m", "tests.testbed", "demo"]
    done = subprocess.run(argv, cwd=EXAMPLE.parents[2], capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len([line for line in done.stdout.splitlines() if line.endswith(" ok")]) == len(CASES)
    assert "nothing of it is left" in done.stdout


def test_the_exit_code_is_the_pod_s(alice: Person) -> None:
    words = ["--image", "busybox:1.36", "--name", "seven", "--command", "--", "sh", "-c", "echo out; exit 7"]
    done = alice.farnode("run", *words, check=False)
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "exit code 7" in done.stderr


def test_a_longer_pod_and_its_logs(box: SlurmSite, longer: Person) -> None:
    ((name,),) = queue(box, "name")
    given = gpus_of(box, name)
    assert len(given) == 2
    lines = longer.farnode("logs", "longer").stdout.splitlines()
    assert lines[0] == f"second run: {','.join(sorted(given))}"
    assert longer.farnode("logs", "longer", "--previous").stdout == "first run\n"
    assert len(longer.farnode("logs", "longer", "--tail", "2").stdout.splitlines()) == 2
    recent = longer.farnode("logs", "longer", "--since", "1s").stdout.splitlines()
    assert 0 < len(recent) < 20
    stamped = longer.farnode("logs", "longer", "--timestamps", "--tail", "1").stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z tick \d+\n", stamped)


def test_following_a_log_ends_with_the_pod(longer: Person) -> None:
    argv = longer.command("logs", "-f", "--timestamps", "--tail", "1", "longer")
    following = subprocess.Popen(argv, env=longer.environ, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    numbers = [int(following.stdout.readline().split()[-1]) for _ in range(5)]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    longer.farnode("delete", "longer")
    rest = following.communicate(timeout=60)[0]
    assert following.returncode == 0
    assert all(" tick " in line for line in rest.splitlines())


def test_a_terminal_in_the_container(longer: Person) -> None:
    with Terminal(longer.command("exec", "-it", "longer", "--", "sh"), longer) as terminal:
        terminal.resize(41, 97)
        terminal.say_until("stty size", "41 97")
        terminal.resize(30, 120)
        terminal.say_until("stty size", "30 120")
        terminal.say_until("test -t 0 && test -t 1 && echo terminal-$((40+2))", "terminal-42")
        terminal.say("exit 5")
        assert terminal.wait() == 5


class Terminal:
    """A command with a controlling terminal of its own, as a person's shell gives it."""

    def __init__(self, argv: list[str], person: Person) -> None:
        self._ours, theirs = os.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv], env=person.environ, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._seen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        self._process.kill()
        self._process.wait(10)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def say(self, text: str) -> None:
        os.write(self._ours, f"{text}\r".encode())

    def say_until(self, text: str, expected: str) -> None:
        """A size takes a moment to arrive, so it is asked for again."""
        self._seen = ""

        def heard() -> bool:
            self.say(text)
            self._listen()
            return expected in self._seen

        wait_until(heard, f"{expected!r} after {text!r}; seen: {self._seen!r}", 30)

    def _listen(self) -> None:
        while select.select([self._ours], [], [], 0.5)[0]:
            self._seen += os.read(self._ours, 65536).decode(errors="replace")

    def wait(self) -> int:
        return self._process.wait(30)


def test_deleting_ends_the_job_too(box: SlurmSite, longer: Person) -> None:
    assert len(queue(box, "name")) == 1
    assert "deleted" in longer.farnode("delete", "longer").stdout
    wait_until(lambda: queue(box, "name") == [], "the job is gone")
    assert "longer" in longer.farnode("ps").stdout


def test_bob_with_a_token_of_his_own_sees_nothing_of_alice_s(longer: Person, bob: Person) -> None:
    assert "longer" in longer.farnode("ps").stdout
    assert "longer" not in bob.farnode("ps").stdout
    for words in (["logs", "longer"], ["describe", "longer"], ["exec", "longer", "--", "true"], ["delete", "longer"]):
        done = bob.farnode(*words, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: no pod 'longer'\n")
    assert "1/1     Running" in longer.farnode("ps").stdout


def test_bob_as_another_user_of_the_login_node_cannot_open_the_socket(box: SlurmSite, site: BoxSite) -> None:
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    argv = ["python3", "-c", code, "/home/alice/fn/state/gateway.sock"]
    assert box.run("alice", argv).returncode == 0
    refused = box.run("bob", argv, check=False)
    assert "PermissionError" in refused.stderr
    assert "Permission denied" in box.run("bob", ["cat", "/home/alice/fn/state/token"], check=False).stderr
    assert "Permission denied" in box.run("bob", ["ls", "/home/alice/fn/spool"], check=False).stderr
