"""farnode dev, as somebody types it who wants to try."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the first one on a machine builds the control plane


def test_a_cluster_comes_up_runs_a_pod_and_goes(tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}

    def farnode(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "farnode.cli", "dev", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=800)

    up = farnode("up")
    assert up.returncode == 0, up.stderr
    try:
        exported, aliased, run, *_ = [line.strip() for line in up.stdout.splitlines()[1:]]
        kubectl = shlex.split(aliased)[1].removeprefix("kubectl=")
        with_config = {**environ, "KUBECONFIG": shlex.split(exported)[1].removeprefix("KUBECONFIG=")}

        def typed(*words: str) -> str:
            return subprocess.run([kubectl, *words], env=with_config, capture_output=True, text=True, check=True).stdout

        typed(*shlex.split(run)[1:])
        typed("wait", "pod/hello", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        assert typed("logs", "hello") == "hello\n"
        assert "it is up" in farnode("up").stderr
    finally:
        down = farnode("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert not list(tmp_path.iterdir())
    assert "it is not up" in farnode("down").stderr
