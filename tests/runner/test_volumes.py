"""Volumes of an attempt on the node: what is made, what is mounted, and what must survive its end."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from farnode.runner.storage import hosts, sitepath, subpath, threads
from farnode.runner.storage.content import Content
from farnode.runner.storage.removal import remove

from .stage import Stage, entries, main_state, read, shell, stage

GENERATION = re.compile(r"\.\.2001_09_09_01_46_40\.")
"""As the stage's clock stands."""
NOBODY = 65534
JOB = Path(__file__).parents[2] / "core/farnode/runner/job.sh"


def play(directory: Path, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def run() -> None:
        async with stage(directory) as made:
            await scenario(made)

    asyncio.run(run())


def file(path: str, text: str | bytes, mode: int = 0o644) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return {"path": path, "mode": mode, "data": base64.b64encode(data).decode()}


def files(*content: Any, name: str = "v") -> dict[str, Any]:
    return {"name": name, "kind": "files", "files": list(content)}


def path(where: Path, kind: str = "", name: str = "v", **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "path", "path": str(where), "type": kind, **fields}


def link(where: Path) -> str:
    return str(where.readlink())


def touch(name: str) -> None:
    Path(name).touch()


def mount(target: str = "/v", volume: str = "v", **fields: Any) -> dict[str, Any]:
    return {"volume": volume, "path": target, **fields}


# ---- files -------------------------------------------------------------------------------------------------------


def test_files_are_laid_out_as_the_kubelet_does(tmp_path: Path) -> None:
    content = Content(str(tmp_path))
    content.write([file("a", "one"), file("dir/b", "two", 0o400), file("dir/deep/c", "three", 0o777)], 1e9)
    assert link(tmp_path / "a") == "..data/a"
    assert link(tmp_path / "dir") == "..data/dir"
    assert GENERATION.match(link(tmp_path / "..data"))
    assert sorted(os.listdir(tmp_path)) == sorted([link(tmp_path / "..data"), "..data", "a", "dir"])  # noqa: PTH208
    assert (tmp_path / "dir/deep/c").read_text() == "three"
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "dir/b", "dir/deep/c", "dir/deep")]
    assert modes == [0o644, 0o400, 0o777, 0o755]


def test_new_content_replaces_the_old_in_one_step(tmp_path: Path) -> None:
    content = Content(str(tmp_path))
    content.write([file("kept", "1"), file("stale", "1"), file("dir/x", "1")], 1e9)
    before = link(tmp_path / "..data")
    content.write([file("kept", "2"), file("new", "2"), file("dir/y", "2")], 1e9)
    assert {name: (tmp_path / name).read_text() for name in ("kept", "new", "dir/y")} == dict.fromkeys(
        ("kept", "new", "dir/y"), "2"
    )
    assert not [name for name in ("stale", "dir/x") if os.path.lexists(tmp_path / name)]
    assert link(tmp_path / "..data") != before


def test_the_generation_before_stays_for_who_is_about_to_mount_it(tmp_path: Path) -> None:
    content = Content(str(tmp_path))
    kept = []
    for number in range(4):
        content.write([file("a", str(number))], 1e9)
        kept.append(link(tmp_path / "..data"))
    assert [name for name in kept if (tmp_path / name).exists()] == kept[-2:]


def test_the_same_content_is_not_touched(tmp_path: Path) -> None:
    content = Content(str(tmp_path))
    content.write([file("a", "1")], 1e9)
    before = (link(tmp_path / "..data"), tmp_path.stat().st_mtime_ns)
    content.write([file("a", "1")], 2e9)
    assert (link(tmp_path / "..data"), tmp_path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("wrong", ["../x", "/x", "", "..data", "..x/y", "a/../../x", "."])
def test_a_path_that_leads_elsewhere_changes_nothing(tmp_path: Path, wrong: str) -> None:
    content = Content(str(tmp_path / "v"))
    (tmp_path / "v").mkdir()
    content.write([file("a", "1")], 1e9)
    with pytest.raises(ValueError, match=re.escape(repr(wrong))):
        content.write([file("a", "2"), file(wrong, "2")], 1e9)
    assert (tmp_path / "v/a").read_text() == "1"
    assert len([name for name in entries(str(tmp_path / "v")) if name.is_dir() and not name.is_symlink()]) == 1


def test_much_content(tmp_path: Path) -> None:
    """A ConfigMap of Kubernetes' largest size, in one file and in a thousand."""
    content = Content(str(tmp_path))
    content.write([file("whole", b"x" * 2**20)], 1e9)
    content.write([file(f"key-{number}", b"x" * 1048) for number in range(1000)], 1e9)
    assert sum((tmp_path / f"key-{number}").stat().st_size for number in range(1000)) == 1_048_000
    assert not os.path.lexists(tmp_path / "whole")


def test_a_running_container_sees_new_content(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        wait = "echo up; until grep -q new $V_v/key; do sleep 0.01; done; cat $V_v/key; ls $V_v"
        stage.start(volumes=[files(file("key", "old"), file("stale", ""))], containers=[shell(wait, mounts=[mount()])])
        await stage.printed("up")
        newer = [files(file("key", "new\n")), files(name="unknown")]
        for uid, attempt in (("u1", 1), ("u1", 7), ("nobody", 1)):
            update: Any = {"uid": uid, "attempt": attempt, "volumes": newer}
            stage.roster.update_inputs(update)
        await stage.ended()
        assert stage.log() == "up\nnew\nkey\n"

    play(tmp_path, scenario)


def test_an_attempt_that_has_not_begun_starts_with_the_newest_content(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[files(file("key", "old"))], containers=[shell("cat $V_v/key", mounts=[mount()])])
        newer: Any = {"uid": "u1", "attempt": 1, "volumes": [files(file("key", "new\n"))]}
        stage.roster.update_inputs(newer)
        await stage.ended()
        assert stage.log() == "new\n"
        stage.roster.update_inputs(newer)

    play(tmp_path, scenario)


def test_content_that_cannot_be_written_is_told_and_the_old_stays(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        script = "echo up; while [ ! -e $V_w/go ]; do sleep 0.01; done; cat $V_v/key"
        volumes = [files(file("key", "old\n")), {"name": "w", "kind": "empty"}]
        stage.start(volumes=volumes, containers=[shell(script, mounts=[mount(), mount("/w", "w")])])
        await stage.printed("up")
        wrong: Any = {"uid": "u1", "attempt": 1, "volumes": [files(file("key", "new"), file("key/below", ""))]}
        stage.roster.update_inputs(wrong)
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        await pod._volumes.settle()
        touch(f"{pod._volumes['w']}/go")
        notes = (await stage.ended())["notes"]
        assert stage.log() == "up\nold\n"
        assert [note["reason"] for event in stage.events for note in event["notes"]].count("FailedMount") == 1, notes

    play(tmp_path, scenario)


def test_files_lie_in_memory_and_are_mounted_read_only(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[files(file("key", "x"))], containers=[shell("echo $V_v", mounts=[mount()])])
        await stage.ended()
        assert stage.log().startswith(stage.scratch.memory)
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        assert [one.read_only for one in pod._volumes.mounts([mount()], {})] == [True]  # type: ignore[list-item]

    play(tmp_path, scenario)


# ---- paths of the site -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "make", "words"),
    [
        ("Directory", "nothing", "is not a directory"),
        ("Directory", "file", "is not a directory"),
        ("DirectoryOrCreate", "file", "is not a directory"),
        ("File", "nothing", "is not a file"),
        ("File", "directory", "is not a file"),
        ("FileOrCreate", "directory", "is not a file"),
        ("Socket", "file", "is not a socket file"),
        ("CharDevice", "file", "is not a character device"),
        ("BlockDevice", "file", "is not a block device"),
    ],
)
def test_a_path_of_another_type_fails_the_pod(tmp_path: Path, kind: str, make: str, words: str) -> None:
    """The kubelet's words (its hostPath plugin)."""
    where = tmp_path / "site"
    if make == "file":
        where.touch()
    elif make == "directory":
        where.mkdir()

    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[path(where, kind)], containers=[shell("exit 0", mounts=[mount()])])
        ended = await stage.ended()
        assert ended["phase"] == "Failed"
        assert ended["message"] == f"volume 'v': hostPath type check failed: {where} {words}"

    play(tmp_path, scenario)


def test_paths_of_the_right_type(tmp_path: Path) -> None:
    for name in ("plain", "directory"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("content")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    kinds = {"plain": "", "directory": "Directory", "file": "File", "socket": "Socket"}
    kinds |= {"made/deep": "DirectoryOrCreate", "made-file": "FileOrCreate"}
    volumes = [path(tmp_path / where, kind, f"v{i}") for i, (where, kind) in enumerate(kinds.items())]
    volumes.append(path(Path("/dev/null"), "CharDevice", "device"))
    mounts = [mount(f"/{volume['name']}", volume["name"]) for volume in volumes]

    async def scenario(stage: Stage) -> None:
        stage.start(volumes=volumes, containers=[shell("echo fine >$V_v1/written; echo $V_device", mounts=mounts)])
        assert (await stage.ended())["phase"] == "Succeeded"
        assert stage.log() == "/dev/null\n"

    play(tmp_path, scenario)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("made", "made/deep", "made-file")}
    assert modes == {"made": 0o755, "made/deep": 0o755, "made-file": 0o644}
    assert (tmp_path / "directory/written").read_text() == "fine\n"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[path(tmp_path / "none")], containers=[shell("exit 0", mounts=[mount()])])
        ended = await stage.ended()
        assert ended["message"] == f"volume 'v': hostPath {tmp_path}/none: No such file or directory on this node"
        assert not (tmp_path / "none").exists()

    play(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["", "Directory", "DirectoryOrCreate"])
def test_a_link_that_leads_out_of_what_the_site_allows(tmp_path: Path, kind: str) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "private").mkdir()
    (tmp_path / "shared/link").symlink_to(tmp_path / "private")
    where = tmp_path / "shared/link" / ("new" if kind == "DirectoryOrCreate" else "")
    real = where.resolve()

    async def scenario(stage: Stage) -> None:
        volumes = [path(where, kind, below=str(tmp_path / "shared"))]
        stage.start(volumes=volumes, containers=[shell("exit 0", mounts=[mount()])])
        assert f"leads to {real}, out of {tmp_path}/shared" in (await stage.ended())["message"]

    play(tmp_path, scenario)
    assert not entries(str(tmp_path / "private"))


def test_a_read_only_path_is_mounted_so_and_never_written(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        (tmp_path / "site").mkdir()
        volumes = [path(tmp_path / "site", read_only=True)]
        stage.start(volumes=volumes, containers=[shell("exit 0", mounts=[mount(sub_path="new")])])
        state = main_state(await stage.ended())["terminated"]
        assert state["reason"] == "CreateContainerConfigError"
        assert "subPath 'new' does not exist in the volume, which is read-only" in state["message"]
        assert not entries(str(tmp_path / "site"))
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        assert pod._volumes.mounts([{"volume": "v", "path": "/v"}], {})[0].read_only

    play(tmp_path, scenario)


# ---- images ------------------------------------------------------------------------------------------------------


def test_the_content_of_an_image(tmp_path: Path) -> None:
    (tmp_path / "image/models").mkdir(parents=True)
    (tmp_path / "image/models/weights").write_text("heavy\n")
    volume = {"name": "v", "kind": "image", "image": {"reference": "models:1", "path": str(tmp_path / "image")}}

    async def scenario(stage: Stage) -> None:
        mounts = [mount(), mount("/m", sub_path="models")]
        stage.start(volumes=[volume], containers=[shell("cat $V_v/models/weights $V_m/weights", mounts=mounts)])
        await stage.ended()
        assert stage.log() == "heavy\nheavy\n"
        pod = stage.roster.get("u1", 1)
        assert pod is not None
        assert all(one.read_only for one in pod._volumes.mounts(mounts, {}))  # type: ignore[arg-type]

    play(tmp_path, scenario)
    assert (tmp_path / "image/models/weights").exists()


def test_an_image_in_one_file_is_refused_with_words(tmp_path: Path) -> None:
    (tmp_path / "x.sif").touch()
    volume = {"name": "v", "kind": "image", "image": {"reference": "models:1", "path": str(tmp_path / "x.sif")}}

    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[volume], containers=[shell("exit 0", mounts=[mount()])])
        assert "the image models:1 is not unpacked in a directory" in (await stage.ended())["message"]

    play(tmp_path, scenario)


# ---- parts of volumes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sub_path", "sub_path_expr"])
def test_a_part_that_does_not_exist_is_made(tmp_path: Path, kind: str) -> None:
    """A directory of the volume's own mode, as the kubelet makes it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o750)
    text = "runs/pod-7" if kind == "sub_path" else "runs/$(NAME)-$(NUMBER)"
    env = [{"name": "NAME", "value": "pod"}, {"name": "NUMBER", "value": "7"}]

    async def scenario(stage: Stage) -> None:
        container = shell("echo done >$V_v/out", mounts=[mount(**{kind: text})], env=env)
        stage.start(volumes=[path(tmp_path / "site")], containers=[container])
        assert (await stage.ended())["phase"] == "Succeeded"

    play(tmp_path, scenario)
    assert (tmp_path / "site/runs/pod-7/out").read_text() == "done\n"
    assert stat.S_IMODE((tmp_path / "site/runs/pod-7").stat().st_mode) == 0o750


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"sub_path": "../x"}, "'../x' leads out of its volume"),
        ({"sub_path": "/x"}, "'/x' leads out of its volume"),
        ({"sub_path": "link/x"}, "subPath 'link/x' leads out of the volume"),
        ({"sub_path_expr": "$(NONE)"}, "subPathExpr '$(NONE)': missing value for 'NONE'"),
        ({"sub_path_expr": "$(UP)/x"}, "'../x' leads out of its volume"),
        ({"sub_path_expr": "$(ROOT)"}, "'/etc' leads out of its volume"),
    ],
)
def test_a_part_that_cannot_be(tmp_path: Path, part: dict[str, str], words: str) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/link").symlink_to("/etc")
    env = [{"name": "UP", "value": ".."}, {"name": "ROOT", "value": "/etc"}]

    async def scenario(stage: Stage) -> None:
        container = shell("exit 0", mounts=[mount(**part)], env=env)
        stage.start(volumes=[path(tmp_path / "site")], containers=[container])
        state = main_state(await stage.ended())["terminated"]
        assert state["reason"] == "CreateContainerConfigError"
        assert state["message"] == f"the mount of volume 'v' at /v: {words}"

    play(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["a part", "a path"])
def test_two_pods_make_the_same_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Perhaps on two nodes: whoever is later finds it made."""
    make = Path.mkdir

    def later(self: Path, mode: int) -> None:
        monkeypatch.setattr(Path, "mkdir", make)
        make(self, parents=True)
        self.mkdir(mode)

    monkeypatch.setattr(Path, "mkdir", later)
    if kind == "a part":
        assert subpath.locate(str(tmp_path), "runs/7", writable=True) == f"{tmp_path}/runs/7"
    else:
        assert sitepath.locate({"path": f"{tmp_path}/runs/7", "type": "DirectoryOrCreate"}) == f"{tmp_path}/runs/7"
    assert (tmp_path / "runs/7").is_dir()


# ---- /etc/hosts --------------------------------------------------------------------------------------------------


def test_host_aliases(tmp_path: Path) -> None:
    """Kubernetes, "Adding entries to Pod /etc/hosts"; a pod's own mount there comes first."""
    aliases = [{"ip": "127.0.0.1", "hostnames": ["foo.local", "bar.local"]}, {"ip": "fd00::1", "hostnames": ["six"]}]

    async def scenario(stage: Stage) -> None:
        own = shell("echo $V_etc_hosts", "own", mounts=[mount("/etc/hosts")])
        volumes = [{"name": "v", "kind": "empty"}]
        stage.start(host_aliases=aliases, volumes=volumes, containers=[shell("cat $V_etc_hosts"), own])
        await stage.ended()
        node = read("/etc/hosts")
        entries = "\n# Entries added by HostAliases.\n127.0.0.1\tfoo.local\tbar.local\nfd00::1\tsix\n"
        assert stage.log() == f"# Kubernetes-managed hosts file (host network).\n{node}{entries}"
        assert stage.log("own").strip().endswith("volume-v")

    play(tmp_path, scenario)


def test_a_node_without_hosts_file(tmp_path: Path) -> None:
    assert "127.0.0.1\tlocalhost\n" in hosts.text([{"ip": "192.0.2.1", "hostnames": ["x"]}], str(tmp_path / "none"))


# ---- the end -----------------------------------------------------------------------------------------------------


def test_what_is_not_ours_survives_the_end(tmp_path: Path) -> None:
    """Paths, claims and what links lead to: whatever a container did, only what was made for the attempt goes."""
    for name in ("site", "image", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").write_text(name)
    image = {"name": "i", "kind": "image", "image": {"path": str(tmp_path / "image")}}
    volumes = [path(tmp_path / "site"), image, {"name": "e", "kind": "empty"}]
    mounts = [mount(), mount("/i", "i"), mount("/e", "e"), mount("/s", sub_path="part")]
    script = f"ln -s {tmp_path}/elsewhere $V_e/link; ln -s {tmp_path}/elsewhere $HOME_OF/link; echo x >$V_s/kept"

    async def scenario(stage: Stage) -> None:
        container = shell(script.replace("$HOME_OF", "$V_e"), mounts=mounts)
        stage.start(volumes=volumes, containers=[container])
        await stage.ended()

    play(tmp_path, scenario)
    assert [(tmp_path / name / "precious").read_text() for name in ("site", "image", "elsewhere")] == [
        "site",
        "image",
        "elsewhere",
    ]
    assert (tmp_path / "site/part/kept").read_text() == "x\n"


def test_directories_that_a_container_closed_are_removed(tmp_path: Path) -> None:
    """`stage` checks that nothing is left."""
    script = "mkdir -p $V_v/a/b/c; touch $V_v/a/b/f; chmod 0 $V_v/a/b/c; chmod 500 $V_v/a/b $V_v/a; chmod 0 $V_v"

    async def scenario(stage: Stage) -> None:
        stage.start(volumes=[{"name": "v", "kind": "empty"}], containers=[shell(script, mounts=[mount()])])
        assert (await stage.ended())["phase"] == "Succeeded"

    play(tmp_path, scenario)


def test_a_container_that_starts_again_begins_anew(tmp_path: Path) -> None:
    """Its own directories are empty again; the pod's volumes are as they were."""
    script = "ls -A . $V_v; mkdir -p a/b c; chmod 0 c; touch $V_v/seen; exit 1"

    async def scenario(stage: Stage) -> None:
        volumes = [{"name": "v", "kind": "empty"}]
        stage.start(restart_policy="OnFailure", volumes=volumes, containers=[shell(script, mounts=[mount()])])
        await stage.until(lambda event: event["containers"] and event["containers"][0]["restartCount"] == 1)
        await stage.until(lambda event: main_state(event).get("waiting", {}).get("reason") == "CrashLoopBackOff")
        stage.stop(grace=0)
        await stage.ended()
        volume = stage.log(restart=0).splitlines()[-1].removesuffix(":")
        assert stage.log(restart=0) == f".:\n\n{volume}:\n"
        assert stage.log(restart=1) == f".:\n\n{volume}:\nseen\n"

    play(tmp_path, scenario)


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A directory below which an ordinary user may work."""
    directory = Path(tempfile.mkdtemp(prefix="removal-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


def as_ordinary_user(work: Callable[[], None]) -> int:
    """The exit status of a process of nobody's that did it."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_was_closed_is_opened_up_and_removed(anyones: Path) -> None:
    def work() -> None:
        (anyones / "top/a/b/c").mkdir(parents=True)
        (anyones / "top/a/b/file").touch(0)
        (anyones / "top/a/empty").mkdir(0)
        (anyones / "top/out").symlink_to(anyones / "kept")
        (anyones / "kept").mkdir(0o500)
        for name, mode in (("a/b/c", 0), ("a/b", 0o500), ("a", 0o300), (".", 0)):
            (anyones / "top" / name).chmod(mode)
        remove(str(anyones / "top"))

    assert as_ordinary_user(work) == 0
    assert [one.name for one in entries(str(anyones))] == ["kept"]
    assert stat.S_IMODE((anyones / "kept").stat().st_mode) == 0o500


def test_the_job_script_removes_what_was_closed(anyones: Path) -> None:
    """What a runner that was killed left; and not what somebody put beside it under such a name."""
    nonce = f"n{os.urandom(8).hex()}"
    (anyones / nonce).mkdir()
    (anyones / nonce / "runner.pyz").touch()
    (anyones / "kept").mkdir(0o500)
    for name in (nonce, "kept"):
        os.chown(anyones / name, NOBODY, NOBODY)
    environ = {"PATH": "/usr/bin:/bin", "FARNODE_ALLOCATION": str(anyones / nonce), "FARNODE_SCRATCH": str(anyones)}

    def work() -> None:
        (anyones / f"farnode-{nonce}-x/a/b").mkdir(parents=True)
        (anyones / f"farnode-{nonce}-x/a/b/file").touch()
        (anyones / f"farnode-{nonce}-x/a/b").chmod(0)
        (anyones / f"farnode-{nonce}-x/a").chmod(0o500)
        (anyones / f"farnode-{nonce}-link").symlink_to(anyones / "kept")
        subprocess.run(["sh", str(JOB)], env=environ, check=True)

    assert as_ordinary_user(work) == 0
    assert sorted(one.name for one in entries(str(anyones))) == ["kept", nonce]
    assert stat.S_IMODE((anyones / "kept").stat().st_mode) == 0o500


def test_no_depth_is_too_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    remove(str(top))
    assert not entries(str(tmp_path))


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove(str(tmp_path / "link"))
    remove(str(tmp_path / "never-was"))
    assert [one.name for one in entries(str(tmp_path))] == ["kept"]
    assert (tmp_path / "kept/file").exists()


def test_a_file_server_that_does_not_answer_holds_only_those_who_mount_from_it(tmp_path: Path) -> None:
    answer = threading.Event()

    async def scenario(stage: Stage) -> None:
        waiting = [threads.run(threads.SITE, answer.wait) for _ in range(threads.SITE._max_workers)]
        try:
            stage.start(uid="u1", volumes=[path(tmp_path, "Directory")], containers=[shell("true", mounts=[mount()])])
            stage.start(uid="u2", volumes=[files(file("key", "k"))], containers=[shell("true", mounts=[mount()])])
            assert (await stage.ended("u2"))["phase"] == "Succeeded"
            assert stage.now("u1") == {"init_containers": [], "containers": []}
        finally:
            answer.set()
        assert (await stage.ended("u1"))["phase"] == "Succeeded"
        await asyncio.gather(*waiting)

    play(tmp_path, scenario)


def test_no_pod_waits_for_what_others_left_to_be_removed(tmp_path: Path) -> None:
    done = threading.Event()

    async def scenario(stage: Stage) -> None:
        removals = [threads.run(threads.REMOVAL, done.wait) for _ in range(threads.REMOVAL._max_workers)]
        try:
            stage.start(uid="u1", containers=[shell("touch left")])
            assert (await stage.ended("u1"))["phase"] == "Succeeded"
            stage.start(uid="u2", volumes=[files(file("key", "k"))], containers=[shell("true", mounts=[mount()])])
            assert (await stage.ended("u2"))["phase"] == "Succeeded"
        finally:
            done.set()
        await asyncio.gather(*removals)

    play(tmp_path, scenario)
