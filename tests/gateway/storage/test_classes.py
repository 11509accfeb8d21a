"""Which class a claim gets and where its directory is; which host paths a site allows; what its configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from farnode.errors import Invalid
from farnode.gateway.config import HostPath, Storage, StorageClass, load
from farnode.gateway.records import ClaimKey
from farnode.gateway.storage import hostpath
from farnode.gateway.storage.classes import Classes
from farnode.model.claim import ClaimWanted, HostPathWanted

TEMPLATE = "/scratch/{owner}/{namespace}/{claim}"
KEY = ClaimKey("alice", "default", "data")


def wanted(storage_class: str | None = None, size: int = 7) -> ClaimWanted:
    return ClaimWanted("data", storage_class, size, ("ReadWriteMany",), False, "persistentVolumeClaims[0].spec")


def classes(**more: StorageClass) -> Classes:
    quota = ("lfs", "setquota", "-B={bytes}", "{path}")
    return Classes({"scratch": StorageClass(path=TEMPLATE, default=True, quota=quota), **more})


# ---- classes -----------------------------------------------------------------------------------------------------


def test_a_claim_gets_its_class_or_the_default_one() -> None:
    more = classes(home=StorageClass(path="/home/claims/{owner}/{namespace}/{claim}", reclaim="retain"))
    made = more.claim(KEY, wanted(), 5.0, None)
    assert (made.storage_class, made.path, made.reclaim) == ("scratch", "/scratch/alice/default/data", "delete")
    assert (made.size, made.created, made.pod, made.ready, made.key) == (7, 5.0, None, False, KEY)
    named = more.claim(KEY, wanted("home"), 5.0, None)
    assert (named.storage_class, named.path, named.reclaim) == ("home", "/home/claims/alice/default/data", "retain")
    assert more.claim(KEY, wanted("home"), 5.0, "a-pod").reclaim == "delete"


@pytest.mark.parametrize(
    ("configured", "name", "words"),
    [
        (classes(), "fast", "'fast' is no storage class of this site; accepted: scratch"),
        (classes(), "", "must name a storage class, as this site has no default one; accepted: scratch"),
        (Classes({"s": StorageClass(path=TEMPLATE)}), None, "this site has no default one; accepted: s"),
        (Classes({}), None, "accepted: (none: this site has no storage for claims)"),
    ],
)
def test_a_class_that_cannot_be_is_refused(configured: Classes, name: str | None, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        configured.check(KEY, wanted(name), None)
    assert refused.value.field == "persistentVolumeClaims[0].spec.storageClassName"
    assert words in refused.value.problem


def test_a_claim_keeps_its_class() -> None:
    more = classes(home=StorageClass(path="/home/{owner}/{namespace}/{claim}"))
    known = more.claim(KEY, wanted(), 5.0, None)
    more.check(KEY, wanted(), known)
    more.check(KEY, wanted("scratch"), known)
    Classes({}).check(KEY, wanted(), known)  # its class is gone; it stays
    with pytest.raises(Invalid, match="the claim 'data' exists and is of class 'scratch', which stays"):
        more.check(KEY, wanted("home"), known)


def test_the_quota_command() -> None:
    made = classes().claim(KEY, wanted(), 5.0, None)
    assert classes().quota(made) == ("lfs", "setquota", "-B=7", "/scratch/alice/default/data")
    assert Classes({}).quota(made) == ()


KEYS = st.builds(ClaimKey, *[st.text(st.sampled_from("ab./%{}~ é\n"), min_size=1, max_size=4)] * 3)


@given(KEYS, KEYS)
def test_no_two_claims_share_a_directory(one: ClaimKey, other: ClaimKey) -> None:
    """Nor does one lie in another's, or outside of the class's own."""
    first, second = (Path(classes().claim(key, wanted(), 0.0, None).path) for key in (one, other))
    assert (one == other) == (first == second)
    assert one == other or not first.is_relative_to(second)
    assert len(first.parts) == 5
    assert not {".", ".."} & set(first.parts)
    assert first.name.isprintable()


def test_a_name_too_long_for_a_directory_is_refused() -> None:
    with pytest.raises(Invalid, match="too long for a directory's name"):
        classes().check(ClaimKey("a/" * 64, "default", "data"), wanted(), None)


# ---- host paths --------------------------------------------------------------------------------------------------

ALLOWED = (
    HostPath(path=Path("/cvmfs"), read_only=True),
    HostPath(path=Path("/data")),
    HostPath(path=Path("/data/x/ro"), read_only=True),
)


def host_path(path: str, kind: str = "") -> HostPathWanted:
    return HostPathWanted("spec.volumes[1].hostPath.path", "v", path, kind)


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("/cvmfs", 0),
        ("/cvmfs/atlas.cern.ch/repo", 0),
        ("/data//set/", 1),
        ("//data", 1),
        ("/data/x", 1),
        ("/data/x/ro/y", 2),
    ],
)
def test_the_closest_entry_allows_a_path(path: str, entry: int) -> None:
    assert hostpath.entry(host_path(path), ALLOWED) is ALLOWED[entry]


@pytest.mark.parametrize("path", ["/", "/etc", "/cvmfs2", "/data/../etc/shadow", "/dat"])
def test_other_paths_are_refused_with_what_is_allowed(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        hostpath.entry(host_path(path), ALLOWED)
    assert refused.value.field == "spec.volumes[1].hostPath.path"
    accepted = "accepted: /cvmfs and below, /data and below, /data/x/ro and below"
    assert refused.value.problem == f"{path!r} may not be mounted at this site; {accepted}"


def test_a_site_that_allows_none_says_what_to_use() -> None:
    with pytest.raises(Invalid, match="accepted: none here: use a persistentVolumeClaim or an emptyDir"):
        hostpath.entry(host_path("/data"), ())


@pytest.mark.parametrize("kind", ["Directory", "File"])
def test_nothing_is_made_where_only_reading_is_allowed(kind: str) -> None:
    with pytest.raises(Invalid) as refused:
        hostpath.entry(host_path("/cvmfs/x", f"{kind}OrCreate"), ALLOWED)
    assert str(refused.value).startswith("spec.volumes[1].hostPath.type: nothing is made below /cvmfs")
    assert str(refused.value).endswith(f"use {kind}")


def test_an_entry_confines_the_volume() -> None:
    volume: Any = {"name": "v", "kind": "path", "path": "/cvmfs/x"}
    hostpath.confine(volume, ALLOWED[0])
    assert volume == {"name": "v", "kind": "path", "path": "/cvmfs/x", "below": "/cvmfs", "read_only": True}
    volume = {"name": "v"}
    hostpath.confine(volume, ALLOWED[1])
    assert volume == {"name": "v", "below": "/data"}


# ---- configuration -----------------------------------------------------------------------------------------------


def loaded(directory: Path, storage: object) -> Storage:
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump({"site": "lab", "provider": "local", "storage": storage}))
    return load(file).storage


def test_the_configuration_of_storage(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {
            "hostPaths": [{"path": "/cvmfs", "readOnly": True}, {"path": "/scratch/shared"}],
            "storageClasses": {
                "scratch": {"path": TEMPLATE, "reclaim": "retain", "default": True, "quota": ["q", "{path}"]}
            },
        },
    )
    assert found.host_paths == (HostPath(path=Path("/cvmfs"), read_only=True), HostPath(path=Path("/scratch/shared")))
    assert found.storage_classes["scratch"] == StorageClass(
        path=TEMPLATE, reclaim="retain", default=True, quota=("q", "{path}")
    )
    assert loaded(tmp_path, {}) == Storage()


def one(**fields: Any) -> dict[str, Any]:
    return {"storageClasses": {"s": fields}}


def two(path: str, **fields: Any) -> dict[str, Any]:
    """Beside a class of the usual path."""
    return {"storageClasses": {"a": {"path": TEMPLATE, **fields}, "b": {"path": path, **fields}}}


PATH = "storage.storageClasses.s.path"


@pytest.mark.parametrize(
    ("storage", "field", "words"),
    [
        ({"hostPaths": [{"path": "/x", "readonly": True}]}, "storage.hostPaths.0.readonly", "did you mean 'readOnly'?"),
        (one(), PATH, "is missing"),
        (one(path="/x/{claim}"), PATH, "{owner}, {namespace}, {claim}"),
        (one(path="/x/{owner}-{namespace}-{claim}"), PATH, "each a directory of its own"),
        (one(path=TEMPLATE + "/{claim}"), PATH, "each once"),
        (one(path=TEMPLATE + "/{user}"), PATH, "does not tell the claims of a site apart"),
        (one(path=TEMPLATE, reclaim="keep"), "storage.storageClasses.s.reclaim", "'delete' or 'retain'"),
        (two("/b/{owner}/{namespace}/{claim}", default=True), "storage", "a and b are both the default"),
        (two("/scratch/{namespace}/{owner}/{claim}"), "storage", "could share a directory"),
        (two(TEMPLATE + "/b"), "storage", "could share a directory"),
    ],
)
def test_what_the_configuration_cannot_say(tmp_path: Path, storage: object, field: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        loaded(tmp_path, storage)
    assert refused.value.field.endswith(f": {field}"), refused.value
    assert words in refused.value.problem


def test_classes_apart(tmp_path: Path) -> None:
    same = {"a": {"path": TEMPLATE}, "b": {"path": TEMPLATE}, "c": {"path": "/home/{owner}/{namespace}/{claim}"}}
    assert list(loaded(tmp_path, {"storageClasses": same}).storage_classes) == ["a", "b", "c"]
