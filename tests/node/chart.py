"""The Helm chart, as its users have it: rendered and installed by the real helm."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.host import TestbedError
from tests.testbed.kubernetes import HELM, ControlPlane, programs

Json = dict[str, Any]
CHART = Path(__file__).parents[2] / "examples/kubernetes/chart"
RELEASE, NAMESPACE = "farnode-node", "farnode"
FINGERPRINT = ":".join(["3f"] * 32)
NOWHERE = {"nodeSelector": {"example.org/nowhere": "true"}}
"""Values of an installation whose own pods stay Pending: there is nobody to run them."""


def node(name: str, **more: Any) -> Json:
    """An entry of the values' `nodes`."""
    secret = {"name": f"{name}-token", "key": "token"}
    site = {"url": f"https://{name}.example.org:8443", "fingerprint": FINGERPRINT, "tokenSecret": secret}
    return {"name": name, "site": site, **more}


def helm(
    *argv: str, values: Mapping[str, Any] | None = None, plane: ControlPlane | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="helm-") as scratch:
        file = Path(scratch) / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values or {})))
        done = subprocess.run(
            [str(programs(HELM) / "helm"), *argv, *([] if values is None else ["--values", str(file)])],
            capture_output=True,
            text=True,
            env={**(plane.environ if plane else {"PATH": "/usr/bin:/bin"}), "HOME": scratch},
            check=False,
            timeout=120,
        )
    if check and done.returncode:
        raise TestbedError(f"helm {' '.join(argv)} exited with {done.returncode}: {done.stderr}{done.stdout}")
    return done


def render(values: Mapping[str, Any]) -> list[Json]:
    """All objects, hooks too."""
    text = helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, values=values).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def install(plane: ControlPlane, values: Mapping[str, Any], namespace: str = NAMESPACE) -> str:
    """Install or upgrade; what helm said."""
    where = ["--namespace", namespace, "--create-namespace"]
    return helm("upgrade", "--install", RELEASE, str(CHART), *where, values=values, plane=plane).stdout


def identity(plane: ControlPlane, nodes: Sequence[str], namespaces: Sequence[str] = ()) -> Path:
    """The kubeconfig of the service account that the chart makes for virtual nodes of these names: it, its roles and
    its flow schemas alone are there. Its Lease of election is called `RELEASE`, in `NAMESPACE`."""
    parts = (f"--show-only=templates/{name}.yaml" for name in ("serviceaccount", "rbac", "flowcontrol"))
    values = {"nodes": [node(name) for name in nodes], "namespaces": list(namespaces)}
    text = helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *parts, values=values).stdout
    plane.kubectl("create", "namespace", NAMESPACE, check=False)
    plane.kubectl("apply", "-f", "-", stdin=text)
    return plane.service_account(NAMESPACE, RELEASE)
