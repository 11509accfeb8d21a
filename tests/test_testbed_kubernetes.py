"""The control plane keeps its promises: every claim that other tests rely on, checked on the real thing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import TestbedError, wait_until
from tests.testbed.kubernetes import COMPONENTS, HELM, KUBERNETES, ControlPlane, programs
from tests.testbed.machine import start_time

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the first one on a machine builds Kubernetes

ROOT = Path(__file__).parents[1]
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "by-hand"},
    "status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "ByHand", "message": "as told"}],
    },
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        print(f"the control plane took {plane.started_in:.1f} s to be ready")
        yield plane


def test_a_deployments_pods_are_scheduled_to_a_node_made_by_hand(plane: ControlPlane) -> None:
    plane.kubectl("create", "-f", "-", stdin=json.dumps(NODE))
    plane.kubectl("patch", "node", "by-hand", "--subresource=status", "-p", json.dumps({"status": NODE["status"]}))
    # The controller manager takes a new node for one without a network until it was told of it.
    plane.kubectl("taint", "node", "by-hand", "node.kubernetes.io/not-ready-", check=False)
    plane.kubectl("create", "deployment", "web", "--image=busybox", "--replicas=3")

    def nodes() -> list[str]:
        return plane.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}").stdout.split()

    wait_until(lambda: nodes() == ["by-hand"] * 3, "three pods are bound to the node")


def test_it_is_of_the_version_that_its_programs_were_built_from(plane: ControlPlane) -> None:
    said = json.loads(plane.kubectl("version", "-o", "json").stdout)
    assert said["serverVersion"]["gitVersion"] == said["clientVersion"]["gitVersion"] == KUBERNETES.version
    assert said["serverVersion"]["minor"] == KUBERNETES.version.split(".")[1]


def test_the_proxy_is_of_the_same_version(plane: ControlPlane) -> None:
    said = subprocess.run([plane.programs / "kube-proxy", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"Kubernetes {KUBERNETES.version}\n"


def test_helm_is_of_the_version_that_it_was_built_from() -> None:
    argv = [str(programs(HELM) / "helm"), "version", "--template={{.Version}}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == HELM.version


def test_a_node_may_touch_only_what_is_its_own(plane: ControlPlane) -> None:
    kubeconfig = plane.identity("system:node:edge", ["system:nodes"])
    mine, other = ({**NODE, "metadata": {"name": name}} for name in ("edge", "elsewhere"))
    plane.kubectl("--kubeconfig", str(kubeconfig), "create", "-f", "-", stdin=json.dumps(mine))
    with pytest.raises(TestbedError, match="not allowed to modify node"):
        plane.kubectl("--kubeconfig", str(kubeconfig), "create", "-f", "-", stdin=json.dumps(other))


def test_a_service_account_is_who_it_is(plane: ControlPlane) -> None:
    plane.kubectl("create", "serviceaccount", "robot")
    kubeconfig = plane.service_account("default", "robot")
    said = plane.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami", "-o", "json").stdout
    assert json.loads(said)["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"


def test_its_authority_signs_what_was_approved(plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = plane.identity("system:node:signed", ["system:nodes"])
    key, request = tmp_path / "key", tmp_path / "request"
    new = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/O=system:nodes/CN=system:node:signed", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*new, *subject, "-keyout", str(key), "-out", str(request)], check=True, capture_output=True)
    asked = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "signed"},
        "spec": {
            "request": subprocess.run(["base64", "-w0", request], check=True, capture_output=True, text=True).stdout,
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["digital signature", "server auth"],
        },
    }
    plane.kubectl("--kubeconfig", str(kubeconfig), "create", "-f", "-", stdin=json.dumps(asked))
    plane.kubectl("certificate", "approve", "signed")
    plane.kubectl("wait", "csr/signed", "--for=jsonpath={.status.certificate}")
    encoded = plane.kubectl("get", "csr", "signed", "-o", "jsonpath={.status.certificate}").stdout
    issued = tmp_path / "issued"
    issued.write_bytes(subprocess.run(["base64", "-d"], input=encoded.encode(), capture_output=True).stdout)
    argv = ["openssl", "verify", "-CAfile", str(plane.authority), str(issued)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.endswith(": OK\n")


def test_what_was_stored_is_there_after_every_component_was_killed(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "kept", "--from-literal=word=here")
    for name in COMPONENTS:
        plane.kill(name)
        plane.start(name)
    wait_until(lambda: plane.kubectl("get", "configmap", "kept", check=False).returncode == 0, "the API server answers")
    assert plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.word}").stdout == "here"


def test_a_killed_component_answers_nobody_until_it_is_started(plane: ControlPlane) -> None:
    plane.kill("kube-apiserver")
    assert plane.kubectl("get", "namespaces", check=False).returncode == 1
    plane.start("kube-apiserver")
    assert "default" in plane.kubectl("get", "namespaces", "-o", "name").stdout


def test_a_component_that_cannot_start_says_why() -> None:
    with pytest.raises(TestbedError, match="NoSuchGate"), ControlPlane({"NoSuchGate": True}):
        raise AssertionError("it started")


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command, and what it said when its control plane was up."""
    argv = [sys.executable, "-m", "tests.testbed", "kubernetes", "up"]
    log = tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(argv, stdout=out, stderr=out, cwd=ROOT) as process:
        try:
            wait_until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "it is up", 90)
            assert process.poll() is None, log.read_text()
            yield process, log.read_text()
        finally:
            process.kill()


def test_it_ends_with_the_process_that_brought_it_up(by_hand: tuple[subprocess.Popen[bytes], str]) -> None:
    process, said = by_hand
    process.kill()
    process.wait()
    pids = [int(line.split()[-1]) for line in said.splitlines() if line.split()[:1] == ["pid"]]
    assert len(pids) == len(COMPONENTS)
    wait_until(lambda: all(start_time(pid) is None for pid in pids), "its components are gone")


def test_by_hand_it_ends_on_a_signal_and_leaves_nothing(by_hand: tuple[subprocess.Popen[bytes], str]) -> None:
    process, said = by_hand
    kubeconfig = Path(said.split("KUBECONFIG=")[1].split()[0])
    assert kubeconfig.exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not kubeconfig.parent.exists()
