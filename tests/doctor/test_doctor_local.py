"""The doctor at the embedded site: a well one, and each thing that can be wrong on the gateway's own host."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from farnode.cli import main
from farnode.gateway.doctor import Finding, examine

Configure = Callable[..., Path]
PATIENCE = 60.0


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Writes a configuration of a site that is well, but for what is given."""

    def write(**changes: Any) -> Path:
        content = {
            "site": "here",
            "provider": {"kind": "local", "gpus": {"model": "a100", "count": 2}},
            "state": str(tmp_path / "state"),
            "spool": str(tmp_path / "spool"),
            "runtimes": ["process"],
            "python": sys.executable,
            "runners": {"listen": "127.0.0.1:0", "advertise": "127.0.0.1"},
        }
        path = tmp_path / "gateway.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}))
        return path

    return write


def found(path: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(path, PATIENCE)}


def bad(path: Path) -> dict[str, Finding]:
    return {name: finding for name, finding in found(path).items() if finding.state != "ok"}


def test_a_site_that_is_well(configure: Configure, tmp_path: Path) -> None:
    findings = found(configure())
    assert {finding.state for finding in findings.values()} == {"ok"}, findings
    assert {"state directory", "spool", "job", "python", "shared spool", "clock", "runners' address"} <= set(findings)
    assert "2 x a100" in findings["offers"].words
    assert "CUDA_VISIBLE_DEVICES" in findings["GPUs"].words
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.yaml"]


def test_the_command_says_the_same_and_exits_0(configure: Configure) -> None:
    done = CliRunner().invoke(main, ["doctor", "-c", str(configure(provider={"kind": "local"}))])
    assert done.exit_code == 0, done.output
    assert "ok    runners' address: 127.0.0.1 is reached from the node" in done.output


def test_the_command_exits_1_with_advice(configure: Configure) -> None:
    done = CliRunner().invoke(main, ["doctor", "-c", str(configure(spol="x"))])
    assert done.exit_code == 1
    assert "FAIL  configuration" in done.output
    assert "did you mean 'spool'?" in done.output


def test_an_unknown_driver(configure: Configure) -> None:
    finding = bad(configure(provider="slrum"))["batch system"]
    assert (finding.state, "accepted: local, slurm" in finding.words) == ("fail", True)


def test_a_wrong_setting_of_the_driver(configure: Configure) -> None:
    assert "coers" in bad(configure(provider={"kind": "local", "coers": 3}))["batch system"].words


def test_directories_that_cannot_be_written(configure: Configure) -> None:
    findings = bad(configure(state="/proc/state", spool="/proc/spool"))
    assert {name: findings[name].state for name in ("state directory", "spool", "job")} == {
        "state directory": "fail",
        "spool": "fail",
        "job": "fail",
    }


def test_directories_open_to_others(configure: Configure, tmp_path: Path) -> None:
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    findings = bad(configure())
    assert findings["spool"].advice == f"chmod 700 {tmp_path / 'spool'}"
    assert findings["state directory"].state == "warn"


def test_a_spool_of_another_gateway(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "spool" / "gateway").write_text("another")
    assert "belongs to a gateway with another state" in bad(configure())["spool"].words


def test_a_gateway_that_holds_the_state_and_does_not_answer(configure: Configure, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "lock"
    lock.parent.mkdir(mode=0o700)
    lock.write_text(json.dumps({"pid": 4711, "host": "there"}))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        finding = bad(configure())["gateway"]
    assert "process 4711 on host there holds the state but does not answer" in finding.words


def test_a_state_that_a_gateway_of_another_host_left_locked(configure: Configure, tmp_path: Path) -> None:
    lock = tmp_path / "state" / "lock"
    lock.parent.mkdir(mode=0o700)
    lock.write_text(json.dumps({"pid": 4711, "host": "there", "boot": "another"}))
    assert bad(configure())["gateway"].advice.endswith(f"remove {lock}")


def test_an_address_nobody_can_dial(configure: Configure) -> None:
    runners = {"listen": "127.0.0.1:0", "advertise": "no-such-host.invalid"}
    assert "not a name that this node can resolve" in bad(configure(runners=runners))["runners' address"].words


def test_an_address_where_somebody_else_answers(configure: Configure) -> None:
    """A connection that is accepted proves nothing."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        runners = {"listen": f"127.0.0.1:{port}", "advertise": "127.0.0.2"}
        finding = bad(configure(runners=runners))["runners' address"]
    assert finding.state == "fail", finding


def test_a_port_another_program_has(configure: Configure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        finding = bad(configure(runners={"listen": listen, "advertise": "127.0.0.1"}))["job"]
    assert (finding.state, "runners.listen" in finding.advice) == ("fail", True)


def test_a_python_that_is_none(configure: Configure) -> None:
    finding = bad(configure(python="/usr/bin/false"))["python"]
    assert (finding.state, "/usr/bin/false cannot be used there" in finding.words) == ("warn", True)


def test_a_registry_that_is_away_and_secrets_that_are_not_there(configure: Configure, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    images = {"registries": {f"127.0.0.1:{port}": {"insecure": True}}, "pullSecrets": [str(tmp_path / "none")]}
    findings = bad(configure(images=images))
    assert f"127.0.0.1:{port} does not answer" in findings["registry"].words
    assert findings["images at the site"].state == "fail"


def test_a_queue_longer_than_anybody_waits(configure: Configure, tmp_path: Path) -> None:
    path = configure(provider={"kind": "local", "queueDelay": 3600})
    findings = {finding.name: finding for finding in examine(path, patience=1)}
    assert (findings["job"].state, "still waits in the queue" in findings["job"].words) == ("warn", True)
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.yaml"]
