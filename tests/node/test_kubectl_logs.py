"""`kubectl logs` with all that users say behind it."""

from __future__ import annotations

import re
import time

import pytest

from tests.node.kubectl import Kubectl
from tests.node.stack import Stack

pytestmark = pytest.mark.system

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (.*)$")


@pytest.fixture(scope="module")
def ended(stack: Stack) -> Kubectl:
    """Where a pod `counted` has written 1 to 5, and a pod `spoken` 1, two seconds later 2."""
    kubectl = stack.namespace()
    kubectl.run("counted", "for i in 1 2 3 4 5; do echo $i; done")
    kubectl.run("spoken", "echo 1; sleep 4; echo 2")
    kubectl.ended("counted")
    kubectl.ended("spoken")
    return kubectl


def test_all_of_it(ended: Kubectl) -> None:
    assert ended.logged("counted") == "1\n2\n3\n4\n5\n"


def test_its_tail(ended: Kubectl) -> None:
    assert ended.logged("counted", "--tail=2") == "4\n5\n"
    assert ended.logged("counted", "--tail=0") == ""


def test_so_many_bytes(ended: Kubectl) -> None:
    assert ended.logged("counted", "--limit-bytes=4") == "1\n2\n"


def test_with_the_time_of_each_line(ended: Kubectl) -> None:
    lines = ended.logged("counted", "--timestamps").splitlines()
    assert [match[1] for line in lines if (match := STAMP.match(line))] == ["1", "2", "3", "4", "5"]


def test_since_a_time(ended: Kubectl) -> None:
    first, second = (line.split()[0] for line in ended.logged("spoken", "--timestamps").splitlines())
    assert ended.logged("spoken", f"--since-time={second}") == "2\n"
    assert ended.logged("spoken", f"--since-time={first}") == "1\n2\n"
    assert ended.logged("spoken", "--since=1h") == "1\n2\n"


def test_the_last_seconds(kubectl: Kubectl) -> None:
    kubectl.running("spoken", "echo before; sleep 6; echo after; sleep 1000")
    with kubectl.popen("logs", "-f", "spoken", stdout=-1) as following:
        assert following.stdout is not None
        assert [following.stdout.readline(), following.stdout.readline()] == [b"before\n", b"after\n"]
    assert kubectl.logged("spoken", "--since=5s") == "after\n"


def test_followed_to_its_end(kubectl: Kubectl) -> None:
    kubectl.running("talking", "for i in 1 2 3; do echo $i; sleep 0.5; done")
    assert kubectl.logged("talking", "-f") == "1\n2\n3\n"


def test_a_line_is_seen_while_the_pod_runs(kubectl: Kubectl) -> None:
    kubectl.running("talking", "echo now; sleep 1000")
    began = time.monotonic()
    with kubectl.popen("logs", "-f", "talking", stdout=-1) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"now\n"
    assert time.monotonic() - began < 30


def test_of_the_instance_before(kubectl: Kubectl) -> None:
    script = "if [ -e /tmp/x/seen ]; then echo second; else touch /tmp/x/seen; echo first; exit 1; fi"
    volumes = [{"name": "x", "emptyDir": {}}]
    mounts = {"volumeMounts": [{"name": "x", "mountPath": "/tmp/x"}]}
    kubectl.run("restarted", script, container=mounts, volumes=volumes, restartPolicy="OnFailure")
    assert kubectl.ended("restarted")["status"]["containerStatuses"][0]["restartCount"] == 1
    assert kubectl.logged("restarted") == "second\n"
    assert kubectl.logged("restarted", "--previous") == "first\n"


def test_of_each_container(kubectl: Kubectl) -> None:
    others = [
        {"name": name, "image": "busybox:1", "command": ["sh", "-c", f"echo {name}"]} for name in ("one", "two", "init")
    ]
    kubectl.run("several", "unused", containers=others[:2], initContainers=others[2:])
    kubectl.ended("several")
    assert kubectl.logged("several", "-c", "two") == "two\n"
    assert kubectl.logged("several", "-c", "init") == "init\n"
    everything = kubectl.logged("several", "--all-containers", "--prefix").splitlines()
    assert {line.partition("] ")[2] for line in everything} == {"one", "two", "init"}


def test_by_label_of_several_pods(kubectl: Kubectl) -> None:
    for name in ("a", "b"):
        kubectl.run(name, f"echo from {name}")
        kubectl.ended(name)
        kubectl("label", "pod", name, "of=both")
    assert sorted(kubectl("logs", "-l", "of=both").stdout.splitlines()) == ["from a", "from b"]


def test_of_a_container_that_has_not_started(kubectl: Kubectl) -> None:
    source = [{"configMapRef": {"name": "never"}}]
    kubectl.run("early", "true", container={"envFrom": source})
    kubectl.wait("pod/early", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError")
    done = kubectl("logs", "early", check=False)
    assert done.returncode == 1
    assert 'container "main" in pod "early" is waiting to start: CreateContainerConfigError' in done.stderr


def test_of_no_instance_before(ended: Kubectl) -> None:
    done = ended("logs", "counted", "--previous", check=False)
    assert done.returncode == 1
    assert 'previous terminated container "main" in pod "counted" not found' in done.stderr


def test_a_megabyte_as_it_was_written(kubectl: Kubectl) -> None:
    kubectl.run("long", "seq 1 150000")
    kubectl.ended("long")
    assert kubectl.logged("long") == "".join(f"{i}\n" for i in range(1, 150001))
