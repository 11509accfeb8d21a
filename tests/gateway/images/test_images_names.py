"""Names of images, logins, and what is at the site already: no network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.errors import Invalid
from farnode.gateway.images import ImageError, credentials, prepared
from farnode.gateway.images.reference import parse
from farnode.gateway.images.words import quote

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/tool", "docker.io/user/tool:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/user/tool:1", "docker.io/user/tool:1"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("localhost/x", "localhost/x:latest"),
        ("10.0.0.1:5000/x", "10.0.0.1:5000/x:latest"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1"),
        (f"quay.io/x@{DIGEST}", f"quay.io/x@{DIGEST}"),
        (f"quay.io/x:1@{DIGEST}", f"quay.io/x:1@{DIGEST}"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert parse(text).name == name
    assert parse(name).name == name


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "repository"),
        ("Busybox", "repository"),
        ("busybox:", "tag"),
        ("busybox:a b", "tag"),
        ("busybox@sha256:12", "digest"),
        ("busybox@", "digest"),
        ("quay.io/a/../b", "repository"),
        ("quay.io/a//b", "repository"),
        ("-host.io/a", "registry"),
        ("a" * 300, "repository"),
        ("busybox\n", "repository"),
        ("docker://busybox", "registry"),
    ],
)
def test_no_names(text: str, part: str) -> None:
    known = f"Failed to apply default image tag {quote(text)}: couldn't parse image name {quote(text)}"
    with pytest.raises(ImageError, match=f"^{re.escape(known)}: invalid reference format: the {part} .*acc") as raised:
        parse(text)
    assert raised.value.reason == "InvalidImageName"


@given(st.text(max_size=40))
def test_nothing_else_comes_out_of_parsing(text: str) -> None:
    try:
        name = parse(text).name
    except ImageError:
        return
    assert parse(name).name == name
    assert not set(name) & set(" \n\t'\"$`\\;&|<>")


def write(path: Path, content: object, mode: int = 0o600) -> Path:
    path.write_text(json.dumps(content))
    path.chmod(mode)
    return path


def test_the_login_with_the_longest_scope(tmp_path: Path) -> None:
    auths = {
        "https://index.docker.io/v1/": {"auth": "aHViOnA6cQ=="},
        "quay.io": {"username": "all", "password": "p"},
        "quay.io/lab": {"username": "lab", "password": "p"},
    }
    logins = credentials.load([write(tmp_path / "config.json", {"auths": auths})])
    names = ("busybox", "quay.io/lab/x", "quay.io/laboratory", "ghcr.io/x")
    chosen = {name: credentials.fitting(logins, parse(name)) for name in names}
    assert {name: [login.user for login in fitting] for name, fitting in chosen.items()} == {
        "busybox": ["hub"],
        "quay.io/lab/x": ["lab", "all"],
        "quay.io/laboratory": ["all"],
        "ghcr.io/x": [],
    }
    assert chosen["busybox"] == (credentials.Login("docker.io", "hub", "p:q"),)
    assert "p:q" not in repr(logins)


@pytest.mark.parametrize("content", [[], {}, {"auths": {"x": {}}}, {"auths": {"x": {"auth": "%"}}}, {"auths": []}])
def test_a_file_of_no_logins(tmp_path: Path, content: object) -> None:
    with pytest.raises(Invalid, match=r"images\.pullSecrets: .*config\.json"):
        credentials.load([write(tmp_path / "config.json", content)])


def test_a_login_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="accepted: mode 0600"):
        credentials.load([write(tmp_path / "config.json", {"auths": {}}, 0o644)])


def test_prepared_images(tmp_path: Path) -> None:
    (tmp_path / "tool.sif").touch()
    (tmp_path / "cvmfs/library/debian:12").mkdir(parents=True)
    settings = {
        "docker.io/*": tmp_path / "cvmfs/{path}",
        "quay.io/*": tmp_path / "nothing/{name}",
        "lab/tool:1": tmp_path / "tool.sif",
        "*/tool:*": tmp_path / "tool.sif",
    }
    found = {
        name: prepared.find(prepared.by_full_name(settings), parse(name))
        for name in ("debian:12", "docker.io/lab/tool:1", "ghcr.io/x/tool:7", "quay.io/x", "debian:13")
    }
    assert found == {
        "debian:12": tmp_path / "cvmfs/library/debian:12",
        "docker.io/lab/tool:1": tmp_path / "tool.sif",
        "ghcr.io/x/tool:7": tmp_path / "tool.sif",
        "quay.io/x": None,
        "debian:13": None,
    }
    with pytest.raises(Invalid, match=r"images\.prepared: .* \WTool\W: invalid reference format"):
        prepared.by_full_name({"Tool": tmp_path})


def test_paths_only_below_allowed_directories(tmp_path: Path) -> None:
    allowed = tmp_path / "images"
    allowed.mkdir()
    (allowed / "a.sif").touch()
    (tmp_path / "secret").touch()
    (allowed / "link").symlink_to(tmp_path / "secret")
    assert prepared.by_path(f"{allowed}/a.sif", [allowed]) == allowed / "a.sif"
    for path in (f"{allowed}/../secret", f"{allowed}/link", "/etc/passwd"):
        with pytest.raises(ImageError, match="is not below a directory of images"):
            prepared.by_path(path, [allowed])
    with pytest.raises(ImageError, match="accepted: none"):
        prepared.by_path("/etc/passwd", [])
    with pytest.raises(ImageError, match="there is no"):
        prepared.by_path(f"{allowed}/b.sif", [allowed])
