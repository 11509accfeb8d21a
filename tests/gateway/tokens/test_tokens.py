"""Tokens: shown once, kept as hashes, noticed when another process changes them."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from farnode.errors import Denied, Invalid, NotFound
from farnode.gateway.port import Caller
from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(TokenFile(tmp_path), clock=lambda: 1000.0)


def test_a_token_opens(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.issue("hub/alice")
    admin = tokens.issue("root", "admin")
    assert tokens.authenticate(f"Bearer {token}") == Caller("hub/alice")
    assert tokens.authenticate(f"bearer {admin}") == Caller("root", admin=True)
    assert token not in (tmp_path / "tokens.json").read_text()
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer farnode_x", "Bearer \udcff"])
def test_nothing_else_opens(tokens: Tokens, header: str | None) -> None:
    tokens.issue("alice")
    with pytest.raises(Denied):
        tokens.authenticate(header)


def test_a_revoked_token_opens_nothing_in_any_process(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.issue("alice")
    other = Tokens(TokenFile(tmp_path))
    assert other.authenticate(f"Bearer {token}").owner == "alice"
    (record,) = tokens.list()
    assert (record.owner, record.role, record.created) == ("alice", "user", 1000.0)
    tokens.revoke(record.id)
    with pytest.raises(Denied, match="revoked"):
        other.authenticate(f"Bearer {token}")
    with pytest.raises(NotFound):
        tokens.revoke(record.id)


@pytest.mark.parametrize("owner", ["", "Alice", "-a", "a-", "a b", "a" * 129, "ä", "a\n"])
def test_names_of_owners(tokens: Tokens, owner: str) -> None:
    with pytest.raises(Invalid, match=r"owner: .*accepted"):
        tokens.issue(owner)


def test_none_is_lost_when_many_are_issued_at_once(tmp_path: Path) -> None:
    def issue() -> None:
        Tokens(TokenFile(tmp_path)).issue("alice")

    threads = [threading.Thread(target=issue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Tokens(TokenFile(tmp_path)).list()) == 8
