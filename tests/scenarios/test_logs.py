"""Logs and exec, byte for byte.

Logging: https://kubernetes.io/docs/concepts/cluster-administration/logging/
kubectl logs: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_logs/
exec: https://kubernetes.io/docs/tasks/debug/debug-application/get-shell-running-container/
"""

from __future__ import annotations

import base64
import re

import pytest

from farnode import FarnodeError, Invalid, NotFound, Permanent
from tests.scenarios.observe import log
from tests.scenarios.stage import Scene, Stage, shell

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z ")
HOLD = "while [ ! -e /tmp/$HOSTNAME.go ]; do sleep 0.05; done; rm /tmp/$HOSTNAME.go"
"""In a script: waits until `let_go`."""


def let_go(stage: Stage, uid: str, container: str | None = None) -> None:
    with stage.client.exec(uid, ["sh", "-c", "touch /tmp/$HOSTNAME.go"], container) as session:
        assert session.wait() in (0, 137)  # the container may end first, and ends what was run in it


def large_log(stage: Stage) -> None:
    """Two hundred thousand bytes, none lost, none twice."""
    pod = stage.client.wait(stage.submit([shell("large-log", "seq 1 37000")]))
    assert log(stage.client, pod) == b"".join(b"%d\n" % number for number in range(1, 37001))


def long_line(stage: Stage) -> None:
    """A line longer than any buffer, and no newline at its end."""
    pod = stage.client.wait(stage.submit([shell("long-line", "head -c 100000 /dev/zero | tr '\\0' x")]))
    assert log(stage.client, pod) == b"x" * 100_000


def binary_log(stage: Stage) -> None:
    data = bytes(range(256)) * 2 + b"\n\r\n\0\n"
    script = f"echo {base64.b64encode(data).decode()} | base64 -d"
    pod = stage.client.wait(stage.submit([shell("binary-log", script)]))
    assert log(stage.client, pod) == data


def parts_of_a_log(stage: Stage) -> None:
    """--tail, --limit-bytes, --timestamps, --since-time, of a pod that has ended."""
    pod = stage.client.wait(stage.submit([shell("log-parts", "seq 1 999; sleep 0.1; echo last; printf end")]))
    whole = log(stage.client, pod)
    assert log(stage.client, pod, tail=3) == b"999\nlast\nend"
    assert log(stage.client, pod, tail=0) == b""
    assert log(stage.client, pod, tail=5000) == whole
    assert log(stage.client, pod, limit=10) == whole[:10]
    stamped = log(stage.client, pod, timestamps=True)
    lines = stamped.splitlines(keepends=True)
    assert all(STAMP.match(line) for line in lines)
    assert b"".join(STAMP.sub(b"", line, count=1) for line in lines) == whole
    moment = lines[-2].split(b" ")[0].decode()
    assert log(stage.client, pod, since_time=moment) == b"last\nend"
    assert log(stage.client, pod, since=3600) == whole


def followed_log(stage: Stage) -> None:
    """Lines come while the container runs, and the stream ends with the container."""
    pod = stage.submit([shell("followed", f"echo first; {HOLD}; echo last")])
    stage.running(pod)
    chunks = stage.client.logs(pod, follow=True)
    seen = next(chunks)
    assert seen == b"first\n"
    assert not stage.now(pod).ended
    let_go(stage, pod.uid)
    assert seen + b"".join(chunks) == b"first\nlast\n"
    assert stage.client.wait(pod).succeeded


def live_parts(stage: Stage) -> None:
    """The same options while the container still runs."""
    pod = stage.submit([shell("live-parts", f"seq 1 100; {HOLD}")])
    stage.until(pod, lambda now: now.phase == "Running" and log(stage.client, pod).endswith(b"100\n"), "has written")
    assert log(stage.client, pod, tail=2) == b"99\n100\n"
    assert log(stage.client, pod, limit=4) == b"1\n2\n"
    assert len(STAMP.findall(log(stage.client, pod, timestamps=True))) == 100
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


def previous_run(stage: Stage) -> None:
    """--previous is the run that `lastState` tells of. While a container waits for its restart that is the latest
    run, as it is without --previous; once the container has ended, it is the one before."""
    pod = stage.submit([shell("previous", "cut -d' ' -f1 /proc/uptime | tr -d .; exit 1", restartPolicy="OnFailure")])
    stage.until(pod, lambda now: now.restarts == 1 and "waiting" in now.container_statuses["main"]["state"], "waits")
    latest = log(stage.client, pod)
    assert latest == log(stage.client, pod, previous=True)
    stage.client.delete(pod)
    stage.client.wait(pod)
    assert log(stage.client, pod) == latest
    assert int(log(stage.client, pod, previous=True)) < int(latest)


def no_such_log(stage: Stage) -> None:
    pod = stage.client.wait(stage.submit([shell("no-such-log", "echo x")]))
    with pytest.raises(NotFound, match="'other' is not one of: main"):
        log(stage.client, pod, "other")
    with pytest.raises(FarnodeError, match="no earlier run"):
        log(stage.client, pod, previous=True)


def log_before_the_start(stage: Stage) -> None:
    """A container behind an init container: `container "main" in pod … is waiting to start: PodInitializing`."""
    document = shell("log-early", "echo main")
    document["spec"]["initContainers"] = [{"name": "first", "image": "busybox:1", "command": ["sh", "-c", HOLD]}]
    pod = stage.submit([document])
    stage.until(pod, lambda now: "running" in now.container_statuses["first"]["state"], "runs its init container")
    with pytest.raises(FarnodeError, match=r"(?i)start|wait"):
        log(stage.client, pod, "main")
    let_go(stage, pod.uid, "first")
    assert stage.client.wait(pod).succeeded
    assert log(stage.client, pod, "main") == b"main\n"


def exec_in_a_container(stage: Stage) -> None:
    """In the container's environment, with both outputs, input and exit code."""
    container = {"env": [{"name": "COLOUR", "value": "blå"}], "workingDir": "/etc"}
    pod = stage.submit([shell("exec", f"echo ready; {HOLD}", container=container)])
    stage.until(pod, lambda now: now.phase == "Running" and log(stage.client, pod), "is ready")
    with stage.client.exec(pod, ["sh", "-c", 'echo "$COLOUR"; pwd; echo err >&2; exit 3']) as session:
        output = list(session)
    joined = {name: b"".join(one.data for one in output if one.stream == name) for name in ("stdout", "stderr")}
    assert joined == {"stdout": "blå\n/etc\n".encode(), "stderr": b"err\n"}
    assert session.exit_code == 3
    with stage.client.exec(pod, ["cat"], stdin=True) as session:
        session.send(b"through " * 1000)
        session.close_stdin()
        assert b"".join(one.data for one in session) == b"through " * 1000
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded
    with pytest.raises(Invalid, match="not running"), stage.client.exec(pod, ["true"]):
        pass


def exec_of_nothing(stage: Stage) -> None:
    """A command that does not exist: runtimes differ in whether that is an error or an exit code above 125, but
    whoever asked reads why."""
    pod = stage.submit([shell("exec-nothing", f"echo ready; {HOLD}")])
    stage.until(pod, lambda now: now.phase == "Running" and log(stage.client, pod), "is ready")
    words, code = "", 126
    try:
        with stage.client.exec(pod, ["no-such-command"]) as session:
            words = b"".join(one.data for one in session).decode()
            code = session.exit_code or 0
    except Permanent as error:
        words = str(error)
    assert 'exec: "no-such-command": executable file not found in $PATH' in words
    assert code > 125
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


def exec_as_soon_as_it_runs(stage: Stage) -> None:
    """A container that is said to run can be entered."""
    pod = stage.submit([shell("exec-soon", HOLD)])
    for event in stage.client.watch():
        if event["uid"] == pod.uid and event["pod"]["status"]["phase"] == "Running":
            break
    with stage.client.exec(pod, ["sh", "-c", "echo in"]) as session:
        assert b"".join(one.data for one in session) == b"in\n"
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


SCENES = [
    large_log,
    long_line,
    binary_log,
    parts_of_a_log,
    followed_log,
    live_parts,
    previous_run,
    no_such_log,
    log_before_the_start,
    exec_in_a_container,
    exec_of_nothing,
    exec_as_soon_as_it_runs,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_logs(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
