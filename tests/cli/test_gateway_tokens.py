"""Tokens from the command line: issued, listed, revoked, without a gateway that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from farnode.cli import main
from farnode.errors import Denied
from farnode.gateway.main import tokens
from farnode.gateway.port import Caller


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"{{site: lab, provider: local, state: {tmp_path}/state}}")
    return file


def test_a_token_is_issued_listed_and_revoked(config: Path) -> None:
    def farnode(*words: str) -> str:
        done = CliRunner().invoke(main, ["gateway", *words, "-c", str(config)])
        assert done.exit_code == 0, done.output
        return done.output

    token = farnode("token", "--owner", "carol").strip()
    assert tokens(config).authenticate(f"Bearer {token}").owner == "carol"
    (line,) = farnode("tokens").splitlines()
    identifier, role, owner = line.split()[:3]
    assert (role, owner) == ("user", "carol")
    assert token not in line
    farnode("revoke", identifier)
    assert farnode("tokens") == ""
    with pytest.raises(Denied):
        tokens(config).authenticate(f"Bearer {token}")


def test_a_cluster_gets_a_token_that_nobody_else_is_inside_of(config: Path, tmp_path: Path) -> None:
    argv, out = ["gateway", "token", "-c", str(config)], tmp_path / "out.token"
    issued = CliRunner().invoke(main, [*argv, "--role", "cluster", "--owner", "physics"])
    assert tokens(config).authenticate(f"Bearer {issued.output.strip()}") == Caller("physics", cluster=True)
    refused = CliRunner().invoke(main, [*argv, "--owner", "physics/default", "--out", str(out)])
    assert refused.exit_code == 1
    assert "lies inside 'physics', which is a cluster's" in refused.stderr
    assert not out.exists()
    assert "cluster  physics" in CliRunner().invoke(main, ["gateway", "tokens", "-c", str(config)]).output
