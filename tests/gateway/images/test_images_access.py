"""Logins that come with pods, and who may have what is here already.

https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farnode.gateway.images import ImageError, access, credentials
from farnode.gateway.images.credentials import Login
from farnode.gateway.images.reference import parse
from farnode.model.bundle import Bundle, parse_bundle
from tests.gateway.images.registry import PASSWORD, USER, FakeRegistry
from tests.gateway.images.user import User

Make = Callable[..., User]


def secret(name: str, kind: str, key: str, content: object) -> dict[str, Any]:
    data = base64.b64encode(content if isinstance(content, bytes) else json.dumps(content).encode()).decode()
    return {"metadata": {"name": name}, "type": kind, "data": {key: data}}


def bundle(*secrets: dict[str, Any], names: tuple[str, ...] = ("one", "two")) -> Bundle:
    pod = {
        "metadata": {"name": "p", "uid": "0b6cc0d3-0c1c-4b8a-a6b5-0d5f7f0e7a11"},
        "spec": {
            "imagePullSecrets": [{"name": name} for name in names],
            "containers": [{"name": "c", "image": "busybox"}],
        },
    }
    return parse_bundle({"pod": pod, "secrets": list(secrets)})


def test_logins_of_a_pod() -> None:
    entry = {"username": "alice", "password": "p"}
    auths = {"auths": {"https://quay.io/lab": entry, "*.gov": {"auth": "Ym9iOnE="}}}
    made = bundle(
        secret("one", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", auths),
        secret("two", "kubernetes.io/dockercfg", ".dockercfg", {"https://index.docker.io/v1/": entry}),
        names=("one", "two", "three"),
    )
    logins = credentials.of_pod(made)
    assert [(one.scope, one.user) for one in logins] == [
        ("quay.io/lab", "alice"),
        ("*.gov", "bob"),
        ("docker.io", "alice"),
    ]
    assert credentials.absent(made) == ("three",)
    covered = {
        name: [one.user for one in credentials.fitting(logins, parse(name))]
        for name in ("quay.io/lab/x", "quay.io/x", "busybox", "nasa.gov/x", "a.nasa.gov/x")
    }
    assert covered == {
        "quay.io/lab/x": ["alice"],
        "quay.io/x": [],
        "busybox": ["alice"],
        "nasa.gov/x": ["bob"],
        "a.nasa.gov/x": [],
    }


@pytest.mark.parametrize(
    "wrong",
    [
        secret("one", "Opaque", ".dockerconfigjson", {"auths": {}}),
        secret("one", "kubernetes.io/dockerconfigjson", "config.json", {"auths": {}}),
        secret("one", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", b"hunter2"),
        secret("one", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", {"auths": {"x": {"auth": "hunter2"}}}),
        secret("one", "kubernetes.io/dockercfg", ".dockercfg", [1]),
    ],
)
def test_a_secret_of_no_logins(wrong: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match=r"^spec\.imagePullSecrets: the Secret 'one' holds no logins") as raised:
        credentials.of_pod(bundle(wrong))
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.fixture
def name(registry: FakeRegistry) -> str:
    """Of a private image."""
    registry.scheme, registry.users = "Bearer", {USER: PASSWORD, "bob": "b"}
    return f"{registry.address}/lab/tool:1"


@pytest.fixture
def user(make: Make, registry: FakeRegistry) -> User:
    made = make()
    made.logins = (Login(registry.address, USER, PASSWORD),)
    return made


@pytest.mark.anyio
async def test_a_private_image_is_for_who_may_fetch_it(user: User, registry: FakeRegistry, name: str) -> None:
    image = await user.prepare(name, "IfNotPresent")
    registry.asked.clear()
    assert await user.prepare(name, "Never") == image
    assert registry.asked == []  # the login was good once

    for logins in ((), (Login(registry.address, USER, "wrong"),), (Login("quay.io", USER, PASSWORD),)):
        stranger = User(user.store, logins)
        for policy, reason in (
            ("IfNotPresent", "ErrImagePull"),
            ("Always", "ErrImagePull"),
            ("Never", "ErrImageNeverPull"),
        ):
            with pytest.raises(ImageError) as denied:
                await stranger.prepare(name, policy)
            assert denied.value.reason == reason
        with pytest.raises(ImageError, match="access denied"):
            await stranger.prepare(name.replace(":1", f"@{image.digest}"), "IfNotPresent")

    registry.asked.clear()
    assert await User(user.store, (Login(registry.address, "bob", "b"),)).prepare(name, "IfNotPresent") == image
    assert set(registry.asked) == {f"HEAD {image.digest}"}


@pytest.mark.anyio
async def test_after_a_restart_the_registry_is_asked_again(
    user: User, make: Make, registry: FakeRegistry, name: str
) -> None:
    image = await user.prepare(name, "IfNotPresent")
    with pytest.raises(ImageError, match="access denied to nobody without a login"):
        await make().prepare(name, "IfNotPresent")
    registry.scheme = ""  # now it is public, and stays so for what is here
    assert await make().prepare(name, "IfNotPresent") == image
    registry.scheme = "Bearer"
    assert await make().prepare(name, "IfNotPresent") == image


@pytest.mark.anyio
async def test_the_next_login_where_one_is_refused(make: Make, registry: FakeRegistry, name: str, login: Path) -> None:
    user = make(pull_secrets=(str(login),))
    user.logins = (Login(f"{registry.address}/lab", "eve", "x"), Login(registry.address, "bob", "x"))
    assert (await user.prepare(name, "Always")).digest == registry.digest
    assert (await make().prepare(name, "IfNotPresent")).digest == registry.digest  # it was the site's that was good


@pytest.mark.anyio
async def test_no_login_is_left_anywhere(user: User, name: str, fake: Path, tmp_path: Path) -> None:
    await user.prepare(name, "Always")
    files = [path for root in (fake, tmp_path / "images") for path in root.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_MOST", 2)
    granted, name = access.Granted(), parse("quay.io/x")
    logins = [Login("quay.io", user, "p") for user in "abc"]
    for login in logins:
        granted.add(name, "sha256:1", login)
    assert [granted(name, "sha256:1", [login]) for login in logins] == [False, True, True]
    assert not granted(name, "sha256:2", logins)
    assert not granted(parse("quay.io/y"), "sha256:1", logins)
