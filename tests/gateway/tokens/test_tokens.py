"""Tokens: shown once, kept as hashes, noticed when another process changes them."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.errors import Denied, Invalid, NotFound
from farnode.gateway.port import Caller
from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Role, Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(TokenFile(tmp_path), clock=lambda: 1000.0)


def test_a_token_opens(tokens: Tokens, tmp_path: Path) -> None:
    token = tokens.issue("hub/alice")
    admin = tokens.issue("root", "admin")
    assert tokens.authenticate(f"Bearer {token}") == Caller("hub/alice")
    assert tokens.authenticate(f"bearer {admin}") == Caller("root", admin=True)
    assert tokens.authenticate(f"Bearer {tokens.issue('physics', 'cluster')}") == Caller("physics", cluster=True)
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


def test_a_clusters_name_leaves_room_for_its_namespaces(tokens: Tokens) -> None:
    tokens.issue("a" * 64, "cluster")
    with pytest.raises(Invalid, match=r"owner: .*at most 64"):
        tokens.issue("a" * 65, "cluster")


@pytest.mark.parametrize("role", ["user", "admin"])
@pytest.mark.parametrize("inside", ["hub/default", "hub/default/more"])
def test_nobody_is_inside_a_cluster(tokens: Tokens, role: Role, inside: str) -> None:
    tokens.issue("hub", "cluster")
    with pytest.raises(Invalid, match=rf"owner: '{inside}' lies inside 'hub', which is a cluster's"):
        tokens.issue(inside, role)
    for beside in ("hub", "hub-2/default", "hubs", "my/hub/default"):
        tokens.issue(beside, role)
    tokens.issue("hub", "cluster")


@pytest.mark.parametrize("role", ["user", "admin"])
def test_no_cluster_is_around_somebody(tokens: Tokens, role: Role) -> None:
    tokens.issue("hub/alice", role)
    with pytest.raises(Invalid, match=r"owner: 'hub/alice', who has a token here, lies inside 'hub'"):
        tokens.issue("hub", "cluster")
    for beside in ("hub/alice", "hu", "hub/alice2", "hub/b"):
        tokens.issue(beside, "cluster")


OWNERS = st.text("ab/", min_size=1, max_size=6)
NAMESPACES = st.text("ab", min_size=1, max_size=4)


@given(OWNERS, OWNERS, NAMESPACES)
def test_nobody_sees_anothers(first: str, second: str, namespace: str) -> None:
    """Whoever has tokens beside one another: what one has is seen by nobody but those of the same name and role."""
    user, cluster, other = Caller(first), Caller(second, cluster=True), Caller(first, cluster=True)
    assert user.owns(namespace) == first
    assert user.sees(user.owns(namespace))
    assert cluster.sees(cluster.owns(namespace))
    assert Caller("root", admin=True).sees(cluster.owns(namespace))
    assert not cluster.sees(second)
    assert cluster.sees(other.owns(namespace)) == (first == second)
    if not first.startswith(f"{second}/"):
        assert not cluster.sees(user.owns(namespace))
        assert not user.sees(cluster.owns(namespace))


def test_none_is_lost_when_many_are_issued_at_once(tmp_path: Path) -> None:
    def issue() -> None:
        Tokens(TokenFile(tmp_path)).issue("alice")

    threads = [threading.Thread(target=issue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Tokens(TokenFile(tmp_path)).list()) == 8
