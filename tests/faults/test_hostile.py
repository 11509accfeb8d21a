"""Nothing a user wrote is ever read by a shell, seen by the batch system, or found in a command line not the user's."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode import Client, Pod
from tests.faults.sites import ATTEMPT, faulty_box
from tests.sites import BoxSite, wait_until
from tests.testbed import Process, SiteSpec

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MARK = "MaRkEd"
PAYLOADS = (
    "$(touch /tmp/pwned)",
    "`touch /tmp/pwned`",
    "; touch /tmp/pwned ;",
    "' ; touch /tmp/pwned ; '",
    '" ; touch /tmp/pwned ; "',
    "a\ntouch /tmp/pwned\n#SBATCH --comment=pwned\n",
    "--wrap=touch /tmp/pwned",
    "--bind=/etc:/data",
    "%j %u \\x41 \\n $HOME ${HOME} ~ * ? [a]",
    "naïve – 日本語 \U0001f4a5",
    "\t leading and trailing \t",
    "A=B,C=D:E=F",
)
SECRET = f"s3cr3t-{MARK}-$(touch /tmp/pwned)"
PATHS = ("/data with space", "/data,comma", "/data$(touch pwned)", "/data'quote\"s", "/--data")
NAMES = ("PLAIN", "with.dots", "with-dash", "SBATCH_COMMENT", "LD_PRELOAD_X", "APPTAINERENV_PWNED", "BASH_FUNC_x%%")
SHOW = """\
for one in "$@"; do printf 'arg<%s>\\n' "$one"; done
while [ ! -e /go/go ]; do sleep 0.1; done"""


@pytest.fixture(scope="module")
def site() -> Iterator[BoxSite]:
    with faulty_box({}, SiteSpec(nodes=1, registry=True)) as site:
        yield site


def marked(number: int) -> str:
    return f"{MARK}{number}{PAYLOADS[number % len(PAYLOADS)]}"


def _manifests(site: BoxSite) -> list[dict[str, Any]]:
    env: list[dict[str, Any]] = [{"name": f"E{i}", "value": marked(i)} for i in range(len(PAYLOADS))]
    env += [{"name": name, "value": marked(i)} for i, name in enumerate(NAMES)]
    env.append({"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "key"}}})
    mounts = [{"name": "config", "mountPath": path} for path in PATHS]
    mounts += [{"name": "hidden", "mountPath": "/secret"}, {"name": "go", "mountPath": "/go"}]
    container = {
        "name": "main",
        "image": site.image("busybox:1"),
        "command": ["sh", "-c", SHOW, "sh"],
        "args": [marked(i) for i in range(len(PAYLOADS))],
        "env": env,
        "volumeMounts": mounts,
    }
    volumes = [
        {"name": "config", "configMap": {"name": "config"}},
        {"name": "hidden", "secret": {"secretName": "hidden"}},
        {"name": "go", "emptyDir": {}},
    ]
    annotations = {f"example.org/a{i}": marked(i) for i in range(len(PAYLOADS))}
    labels = {"example.org/label": MARK}
    metadata = {"name": "hostile", "labels": labels, "annotations": annotations}
    config = {f".key-_.{i}": marked(i) for i in range(len(PAYLOADS))} | {"--key": marked(0)}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": config},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"key": SECRET}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"restartPolicy": "Never", "containers": [container], "volumes": volumes},
        },
    ]


@pytest.fixture(scope="module")
def hostile(site: BoxSite) -> Iterator[tuple[Client, Pod]]:
    """The pod, running."""
    with site.client() as client:
        (pod,) = client.submit(_manifests(site))
        wait_until(lambda: client.pod(pod).phase != "Pending", "it runs", 120)
        assert client.pod(pod).phase == "Running", client.pod(pod).view
        wait_until(lambda: client.pod(pod).allocation.get("job"), "its job is known", 10)
        yield client, client.pod(pod)


def _everywhere(site: BoxSite) -> list[Process]:
    return [*site.box.processes(), *site.box.processes(1)]


def test_the_container_gets_every_byte(hostile: tuple[Client, Pod]) -> None:
    client, pod = hostile
    wanted = "".join(f"arg<{marked(i)}>\n" for i in range(len(PAYLOADS)))
    wait_until(lambda: len(b"".join(client.logs(pod)).decode()) >= len(wanted), "it has shown its arguments", 30)
    assert b"".join(client.logs(pod)).decode() == wanted
    environ = _read(client, pod, "/proc/self/environ").split("\0")
    for i in range(len(PAYLOADS)):
        assert f"E{i}={marked(i)}" in environ
    for i, name in enumerate(NAMES):
        assert f"{name}={marked(i)}" in environ
    assert f"SECRET={SECRET}" in environ
    assert _read(client, pod, "/secret/key") == SECRET
    for path in PATHS:
        assert _read(client, pod, f"{path}/--key") == marked(0)


def _read(client: Client, pod: Pod, path: str) -> str:
    with client.exec(pod, ["cat", "--", path]) as session:
        outputs = list(session)
    text = b"".join(output.data for output in outputs).decode()
    assert session.exit_code == 0, f"{path}: {text}"
    return text


def test_the_batch_system_never_sees_it(site: BoxSite, hostile: tuple[Client, Pod]) -> None:
    _, pod = hostile
    job = pod.allocation["job"]
    record = site.box.run("root", ["scontrol", "show", "job", "-dd", job]).stdout
    script = site.box.run("root", ["scontrol", "write", "batch_script", job, "-"]).stdout
    assert f"JobId={job}" in record
    assert "runner.pyz" in script
    for text in (record, script, *(path.read_text() for path in site.spool.rglob("job.sh"))):
        assert MARK not in text
        assert "pwned" not in text
        assert "s3cr3t" not in text


def test_only_the_containers_own_command_lines_show_it(site: BoxSite, hostile: tuple[Client, Pod]) -> None:
    own = ("sh", "-c", SHOW, "sh", *(marked(i) for i in range(len(PAYLOADS))))
    showing = [one for one in _everywhere(site) if MARK in "\0".join(one.cmdline)]
    assert showing
    for one in showing:
        assert tuple(one.cmdline) == own, f"process {one.pid} shows it: {one.cmdline}"
        assert ATTEMPT in one.environ


def test_only_the_containers_processes_have_its_environment(site: BoxSite, hostile: tuple[Client, Pod]) -> None:
    knowing = [one for one in _everywhere(site) if MARK in str(one.environ)]
    assert knowing
    for one in knowing:
        assert ATTEMPT in one.environ, f"process {one.pid} knows it: {one.cmdline}"


def test_nothing_was_run(site: BoxSite, hostile: tuple[Client, Pod]) -> None:
    client, pod = hostile
    with client.exec(pod, ["touch", "/go/go"]) as session:
        assert session.wait() == 0
    ended = client.wait(pod)
    assert (ended.phase, ended.exit_code()) == ("Succeeded", 0)
    for node in (None, 1):
        found = site.box.run("root", ["find", "/tmp", "/home", "/root", "-name", "*pwned*"], node=node)
        assert not found.stdout


def test_the_spool_is_nobody_elses(site: BoxSite, hostile: tuple[Client, Pod]) -> None:
    paths = [site.spool, *site.spool.rglob("*"), site.state, *site.state.rglob("*")]
    open_ = {str(path.relative_to(site.directory)): oct(mode) for path in paths if (mode := _open_to_others(path))}
    assert not open_
    leaks = [path for path in paths if path.is_file() and path.suffix not in (".db", ".db-wal") and _tells(path)]
    assert not leaks, f"secrets are written down: {leaks}"


def _open_to_others(path: Path) -> int:
    mode = path.lstat().st_mode
    return 0 if stat.S_ISLNK(mode) else stat.S_IMODE(mode) & 0o077


def _tells(path: Path) -> bool:
    return re.search(re.escape(SECRET).encode(), path.read_bytes()) is not None and "-wal" not in path.name
