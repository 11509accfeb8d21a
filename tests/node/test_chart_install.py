"""The chart on a real API server: its objects are accepted, and its service account may do what it needs, no more."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import chart
from tests.node.chart import NAMESPACE, NOWHERE, RELEASE, Json, node
from tests.sites.site import wait_until
from tests.testbed.kubernetes import ControlPlane

pytestmark = pytest.mark.system

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
VALUES: Json = {"nodes": [node("vega"), node("leo")], **NOWHERE}
OWNED = f"app.kubernetes.io/instance={RELEASE}"
CLUSTER_WIDE = "clusterroles,clusterrolebindings,flowschemas,prioritylevelconfigurations"
NAMESPACED = "deployments,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets"
LEASES = "leases.coordination.k8s.io"
REQUESTS = "certificatesigningrequests.certificates.k8s.io"
BUNDLES = "clustertrustbundles.certificates.k8s.io"

Question = tuple[str, str, str, str]
"""Verb, resource (`pods/status`, `leases.coordination.k8s.io`), namespace, name."""

MAY: list[Question] = [
    ("create", "nodes", "", ""),
    *((verb, "nodes", "", "vega") for verb in ("get", "list", "watch", "patch")),
    ("patch", "nodes/status", "", "leo"),
    *((verb, "pods", "", "") for verb in ("get", "list", "watch", "patch", "delete")),
    ("patch", "pods/status", "any", "p"),
    *((verb, "events", "any", "e") for verb in ("create", "get", "patch")),
    *((verb, LEASES, "kube-node-lease", "vega") for verb in ("create", "get", "patch")),
    *((verb, LEASES, NAMESPACE, RELEASE) for verb in ("create", "get", "update")),
    *((verb, REQUESTS, "", "") for verb in ("create", "list", "watch")),
    *((verb, BUNDLES, "", "") for verb in ("get", "list")),
    ("create", "tokenreviews.authentication.k8s.io", "", ""),
    ("create", "subjectaccessreviews.authorization.k8s.io", "", ""),
]
INPUTS: list[Question] = [
    *((verb, what, "physics", "x") for what in ("configmaps", "secrets") for verb in ("get", "list", "watch")),
    ("get", "persistentvolumeclaims", "physics", "x"),
    ("create", "serviceaccounts/token", "physics", "x"),
]
MAY_NOT: list[Question] = [
    *((verb, "nodes", "", "other") for verb in ("get", "patch", "update", "delete")),
    ("list", "nodes", "", ""),
    ("delete", "nodes", "", "vega"),
    ("patch", "nodes/status", "", "other"),
    ("get", "nodes/proxy", "", "vega"),
    *((verb, "pods", "any", "") for verb in ("create", "update", "deletecollection")),
    *(("create", f"pods/{part}", "any", "p") for part in ("exec", "attach", "portforward", "binding", "eviction")),
    *((verb, LEASES, "kube-node-lease", "other") for verb in ("get", "patch", "delete")),
    *((verb, LEASES, NAMESPACE, "other") for verb in ("get", "update")),
    *((verb, REQUESTS, "", "r") for verb in ("update", "patch", "delete")),
    ("update", "certificatesigningrequests.certificates.k8s.io/approval", "", "r"),
    ("approve", "signers.certificates.k8s.io", "", "kubernetes.io/kubelet-serving"),
    *((verb, "secrets", "any", "s") for verb in ("create", "update", "patch", "delete")),
    *((verb, "configmaps", "any", "c") for verb in ("create", "update", "patch", "delete")),
    ("list", "persistentvolumeclaims", "any", ""),
    ("impersonate", "users", "", "admin"),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", "", "any"),
]


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> Iterator[ControlPlane]:
    """With the pods' security standard enforced that is the strictest."""
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    chart.install(plane, VALUES)
    yield plane
    chart.helm("uninstall", RELEASE, "--namespace", NAMESPACE, plane=plane, check=False)
    plane.kubectl("delete", "namespace", NAMESPACE)


def may(plane: ControlPlane, questions: list[Question]) -> dict[Question, bool]:
    """What the API server's own authorizer says of the chart's service account."""
    reviews = {"apiVersion": "v1", "kind": "List", "items": [_review(*question) for question in questions]}
    wanted = r"jsonpath={.status.allowed}{'\n'}"
    answers = plane.kubectl("create", "-f", "-", "-o", wanted, stdin=json.dumps(reviews)).stdout.split()
    return dict(zip(questions, (answer == "true" for answer in answers), strict=True))


def _review(verb: str, what: str, namespace: str, name: str) -> Json:
    whole, _, subresource = what.partition("/")
    resource, _, group = whole.partition(".")
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": ACCOUNT,
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
            "resourceAttributes": {**attributes, "namespace": namespace, "name": name},
        },
    }


def names(plane: ControlPlane, kinds: str, *words: str) -> list[str]:
    return plane.kubectl("get", kinds, "-l", OWNED, "-o", "name", *words).stdout.split()


def test_its_pods_are_admitted_where_the_strictest_standard_rules(installed: ControlPlane) -> None:
    def pods() -> list[str]:
        return names(installed, "pods", "--namespace", NAMESPACE)

    wait_until(lambda: len(pods()) == 2, "both replicas' pods are there")
    hook = next(each for each in chart.render(VALUES) if each["metadata"].get("annotations", {}).get("helm.sh/hook"))
    said = installed.kubectl("create", "-f", "-", "--dry-run=server", "-o", "name", stdin=json.dumps(hook))
    assert (said.stdout.strip(), said.stderr) == (f"pod/{RELEASE}-test", "")


def test_the_service_account_may_do_what_the_process_does(installed: ControlPlane) -> None:
    assert [question for question, yes in may(installed, MAY + INPUTS).items() if not yes] == []


def test_the_service_account_may_do_nothing_else(installed: ControlPlane) -> None:
    assert [question for question, yes in may(installed, MAY_NOT).items() if yes] == []


def test_no_rule_says_more_than_that(installed: ControlPlane) -> None:
    """Every right that a role of the chart gives is one of those above."""
    roles = [each for each in chart.render(VALUES) if each["kind"] in ("ClusterRole", "Role")]
    given = {
        (verb, ".".join(filter(None, (resource, group))))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == {(verb, resource) for verb, resource, _, _ in MAY + INPUTS}


def test_inputs_are_read_in_the_namespaces_that_are_named_alone(installed: ControlPlane) -> None:
    for namespace in ("physics", "biology"):
        installed.kubectl("create", "namespace", namespace)
    elsewhere = [(verb, what, "other", name) for verb, what, _, name in INPUTS]
    try:
        chart.install(installed, {**VALUES, "namespaces": ["physics", "biology"]})
        assert [question for question, yes in may(installed, MAY + INPUTS).items() if not yes] == []
        assert [question for question, yes in may(installed, elsewhere).items() if yes] == []
        chart.install(installed, {**VALUES, "namespaces": ["biology"]})
        assert [question for question, yes in may(installed, INPUTS).items() if yes] == []
    finally:
        chart.install(installed, VALUES)
        installed.kubectl("delete", "namespace", "physics", "biology", "--wait=false")


@pytest.mark.parametrize(
    ("path", "schema", "level"),
    [
        ("/api/v1/nodes/vega", f"{RELEASE}-presence", "node-high"),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/vega", f"{RELEASE}-presence", "node-high"),
        ("/api/v1/pods?limit=1", f"{RELEASE}-pods", RELEASE),
        ("/api/v1/namespaces/default/configmaps/kube-root-ca.crt", RELEASE, RELEASE),
    ],
)
def test_the_api_server_takes_its_calls_by_the_charts_flow_schemas(
    installed: ControlPlane, path: str, schema: str, level: str
) -> None:
    account = installed.service_account(NAMESPACE, RELEASE)
    wanted = tuple(_uid(installed, kind, name) for kind, name in (("flowschema", schema), (PRIORITY, level)))

    def seen() -> bool:
        """The API server learns of new schemas by a watch."""
        argv = ["get", "--kubeconfig", str(account), "--raw", path, "-v=8"]
        said = installed.kubectl(*argv, check=False).stderr
        found = (re.search(rf"X-Kubernetes-Pf-{header}-Uid: (\S+)", said) for header in ("Flowschema", "Prioritylevel"))
        return tuple(each and each[1] for each in found) == wanted

    wait_until(seen, f"{path} is taken by {schema} at {level}")


PRIORITY = "prioritylevelconfiguration"


def _uid(plane: ControlPlane, kind: str, name: str) -> str:
    return plane.kubectl("get", kind, name, "-o", "jsonpath={.metadata.uid}").stdout


def test_helms_test_is_passed_when_all_nodes_are_ready(installed: ControlPlane, tmp_path: Path) -> None:
    """Its container's program, run here with what a pod is given."""
    for name in ("vega", "leo"):
        document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        installed.kubectl("create", "-f", "-", stdin=json.dumps(document))
    try:
        _ready(installed, "vega", "True")
        _ready(installed, "leo", "False")
        failed = _run_hook(installed, tmp_path, "0")
        assert (failed.returncode, failed.stderr) == (1, "leo: Ready is False: as told\n")
        _ready(installed, "leo", "True")
        passed = _run_hook(installed, tmp_path, "30")
        assert (passed.returncode, passed.stdout) == (0, "Ready: vega, leo\n"), passed.stderr
    finally:
        installed.kubectl("delete", "node", "vega", "leo")
    assert "404" in _run_hook(installed, tmp_path, "0").stderr


def _ready(plane: ControlPlane, name: str, status: str) -> None:
    conditions = [{"type": "Ready", "status": status, "reason": "AsTold", "message": "as told"}]
    patch = json.dumps({"status": {"conditions": conditions}})
    plane.kubectl("patch", "node", name, "--subresource=status", "-p", patch)


def _run_hook(plane: ControlPlane, scratch: Path, seconds: str) -> subprocess.CompletedProcess[str]:
    hook = next(each for each in chart.render(VALUES) if each["kind"] == "Pod")["spec"]["containers"][0]
    program, _, *nodes = hook["args"]
    account = scratch / "account"
    account.mkdir(exist_ok=True)
    (account / "token").write_text(plane.kubectl("create", "token", RELEASE, "--namespace", NAMESPACE).stdout)
    (account / "ca.crt").write_bytes(plane.authority.read_bytes())
    place = "/run/secrets/kubernetes.io/serviceaccount"
    mounted = f'mount -t tmpfs none /run && mkdir -p {place} && mount --bind "$0" {place} && exec "$@"'
    host, _, port = plane.url.removeprefix("https://").rpartition(":")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, str(account), *hook["command"], program, seconds, *nodes],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port},
        check=False,
        timeout=60,
    )


def test_nothing_is_left_of_it(installed: ControlPlane) -> None:
    assert len(names(installed, CLUSTER_WIDE)) == 8
    assert len(names(installed, NAMESPACED, "--all-namespaces")) == 9
    chart.helm("uninstall", RELEASE, "--namespace", NAMESPACE, plane=installed)
    wait_until(lambda: not names(installed, f"{NAMESPACED},pods", "--all-namespaces"), "its objects are gone")
    assert names(installed, CLUSTER_WIDE) == []
    chart.install(installed, VALUES)
