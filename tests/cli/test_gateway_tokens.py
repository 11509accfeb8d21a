"""Tokens from the command line: issued, listed, revoked, without a gateway that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from farnode.cli import main
from farnode.errors import Denied
from farnode.gateway.main import tokens


def test_a_token_is_issued_listed_and_revoked(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(f"{{site: lab, provider: local, state: {tmp_path}/state}}")

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
