"""The sites a person has; every mistake names its file and key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farnode import AsyncClient, Invalid, Site
from farnode.client import config

PIN = "ab" * 32


def test_both_places_are_read(tmp_path: Path) -> None:
    (tmp_path / "sites.d").mkdir()
    (tmp_path / "sites.d" / "local.yaml").write_text("url: unix:/run/g.sock\ntokenFile: /t\n")
    (tmp_path / "sites.d" / "own.yaml").write_text("name: own\nurl: unix:/other.sock\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"default: own\nsites:\n- {{name: own, url: 'https://h:1', fingerprint: 'SHA256:{PIN}', caFile: c}}\n"
    )
    sites = config.load(path)
    assert sites.choose(None) == Site("own", "https://h:1", fingerprint=PIN, ca_file=tmp_path / "c")
    assert sites.choose("local") == Site("local", "unix:/run/g.sock", token_file=Path("/t"))
    assert sites.choose("local").socket == "/run/g.sock"


def test_the_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARNODE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Invalid, match=r"site: no site is configured in .*/\.config/farnode/config\.yaml"):
        AsyncClient()
    monkeypatch.setenv("FARNODE_CONFIG", str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("sites: [{name: only, url: 'unix:/s'}]")
    assert config.load().choose(None).name == "only"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "must be a mapping"),
        ("sites: 3", "sites: must be a list"),
        ("sites: [3]", r"sites\[0\]: must be a mapping"),
        ("sites: [{name: a}]", r"sites\[0\]\.url: is missing"),
        ("sites: [{url: 'unix:/s'}]", r"sites\[0\]\.name: a site needs a name"),
        ("sites: [{name: a, url: 3}]", r"sites\[0\]\.url: must be a string"),
        ("sites: [{name: a, url: 'unix:/s', tokenfile: t}]", r"sites\[0\]\.tokenfile: is not known; accepted: name"),
        ("sites: [{name: a, url: 'https://h', fingerprint: 3f}]", r"sites\[0\]\.fingerprint: .*64 hexadecimal"),
        ("sites: [{name: a, url: 'unix:/s'}, {name: a, url: 'unix:/s'}]", "'a' is there twice"),
        ("site: a", "site: is not known; accepted: default, sites"),
        ("default: 3", "default: must be the name"),
        ("default: x\nsites: [{name: a, url: 'unix:/s'}]", "'x' is not configured; known: a"),
        ("sites: [{name: a, url: 'unix:/s'}, {name: b, url: 'unix:/s'}]", "choose one of: a, b"),
        ("a: [", "is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(Invalid, match=words):
        config.load(path).choose(None)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (Site("a", "http://h:1"), "url: 'http://h:1' is not understood"),
        (Site("a", "https://h:1/path", fingerprint=PIN), "url: .* is not understood"),
        (Site("a", "https://h:99999", fingerprint=PIN), "port"),
        (Site("a", "https://h:1"), "fingerprint: an https site needs"),
        (Site("a", "https://h:1", ca_file=Path("/no/such")), "caFile: /no/such: No such file"),
        (Site("a", "unix:/s", token_file=Path("/no/such")), "tokenFile: /no/such: No such file"),
    ],
)
def test_a_site_that_cannot_be_used(site: Site, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        AsyncClient(site)


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        (0o640, "t", r"is open to others \(mode 0640\): chmod 600"),
        (0o604, "t", "is open to others"),
        (0o600, "", "holds no token"),
        (0o600, "a b", "holds no token"),
        (0o600, "é", "holds no token"),
    ],
)
def test_a_token_is_a_secret(tmp_path: Path, mode: int, text: str, words: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(Invalid, match=words):
        Site("a", "unix:/s", token_file=path).token()


def test_a_private_token_is_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    path.chmod(0o400)
    assert Site("a", "unix:/s", token_file=path).token() == "secret"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_is_given_to_our_group_is_read_and_one_open_to_all_is_not(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    os.chown(path, 1, os.getegid())
    path.chmod(0o440)
    assert Site("a", "unix:/s", token_file=path).token() == "secret"
    path.chmod(0o444)
    with pytest.raises(Invalid, match="is open to others"):
        Site("a", "unix:/s", token_file=path).token()
