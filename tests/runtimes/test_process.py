"""The process runtime, run as an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from .conftest import PLAIN
from .place import Place

HOSTILE = {
    "NEWLINE": "a\nb\n",
    "QUOTES": "'\"`$HOME $(id) \\",
    "EMPTY": "",
    "dotted.name": "x",
    "LD_LIBRARY_PATH": "/nowhere",
    "PYTHONHOME": "/nowhere",
    "UID": "9",
    "BYTES": "\udcff\udcfe",
    "ESCAPED": "\\u000A",
}


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def environment(result: dict[str, Any]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in result["out"].split("\0") if item)


def test_without_volumes_the_command_is_the_program_itself(place: Place) -> None:
    result = place.run(place.spec(["sh", "-c", "pwd; echo $HOME; echo $TMPDIR; exit 3"]))
    home, tmp = place.path / "container/home", place.path / "container/tmp"
    assert result["argv"][0] == "sh"
    assert result["out"].split() == [str(home), str(home), str(tmp)]
    assert (result["code"], result["failure"]) == (3, None)
    assert result["building"] < 0.02


@pytest.mark.parametrize("mounted", [False, True])
def test_the_environment_is_exactly_the_pods(place: Place, mounted: bool) -> None:
    volume = place.directory("volume")
    spec = place.spec(["/usr/bin/env", "-0"], env=HOSTILE, mounts=[[volume, "/data", False]] if mounted else [])
    found = environment(place.run(spec))
    home = str(place.path / "container/home")
    added = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "TMPDIR": "/tmp" if mounted else str(place.path / "container/tmp"),
        "HOSTNAME": "pod-0",
        "CUDA_VISIBLE_DEVICES": "",
        "ROCR_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "ZE_AFFINITY_MASK": "9999",
    }
    assert found == {**added, **HOSTILE}


def test_an_mpi_pod_sees_the_batch_system(place: Place) -> None:
    found = environment(place.run(place.spec(["/usr/bin/env", "-0"], mpi=True)))
    assert found["SLURM_JOB_ID"] == "7"


def test_volumes_appear_where_nothing_was(place: Place) -> None:
    config = place.directory("config", {"key": "value"})
    data = place.directory("data")
    deep = place.directory("deep", {"x": "deep"})
    one = place.directory("one", {"file": "one file"})
    text = """
        cat /etc/app/config.d/key /usr/share/deep/er/x /opt-data/nested/x /etc/single.conf || exit 1
        test -s /etc/passwd && test -d /usr/share/deep && test -d /usr/bin || exit 2
        touch /etc/app/config.d/new 2>/dev/null && exit 3
        echo written > /opt-data/made || exit 4
        echo over > /dev/termination-log || exit 5
        test "$(ls -A /dev/shm | wc -l),$(ls -A /tmp | wc -l)" = 0,1 || exit 6 # the mount point of HOME
        echo t > /tmp/t; echo s > /dev/shm/s; echo h > $HOME/h; echo > /dev/null || exit 7
        echo; id -u; grep CapEff /proc/self/status; umask
    """
    mounts = [
        [deep, "/opt-data/nested", False],
        [config, "/etc/app/config.d", True],
        [data, "/opt-data", False],
        [deep, "/usr/share/deep/er", True],
        [f"{one}/file", "/etc/single.conf", True],
    ]
    result = place.run(place.spec(shell(text), mounts=mounts))
    assert (result["code"], result["err"], result["failure"]) == (0, "", None), result
    assert result["out"].startswith("valuedeepdeepone file")
    assert result["out"].split()[-4:] == [str(PLAIN), "CapEff:", "0000000000000000", "0022"]
    read = {name: (place.path / name).read_text() for name in ("data/made", "container/termination-log")}
    assert read == {"data/made": "written\n", "container/termination-log": "over\n"}
    assert [(place.path / f"container/{name}").exists() for name in ("tmp/t", "shm/s", "home/h")] == [True] * 3


def test_what_a_user_wrote_is_on_no_command_line(place: Place) -> None:
    volume = place.directory("volume")
    spec = place.spec(["/bin/true", "secret-1"], env={"A": "secret-2"}, mounts=[[volume, "/secret-3", False]])
    argv = place.run(spec)["argv"]
    assert "secret" not in " ".join(argv)
    assert list((place.path / "container/run").glob("enter-*")) == []


def test_links_in_a_volume_lead_nowhere_but_into_the_container(place: Place) -> None:
    volume, other = place.directory("volume"), place.directory("other", {"x": "x"})
    (place.path / "volume/link").symlink_to("/etc")
    mounts = [[volume, "/data", False], [other, "/data/link/sub", False]]
    result = place.run(place.spec(shell("cat /etc/sub/x && ls -d /etc/passwd"), mounts=mounts))
    assert result["out"] == "x/etc/passwd\n", result


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-thing"], 'exec: "no-such-thing": executable file not found in $PATH'),
        (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/passwd"], 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 'exec: "/etc": is a directory'),
    ],
)
def test_a_missing_command_is_told_as_a_kubelet_does(place: Place, argv: list[str], words: str) -> None:
    assert place.run(place.spec(argv))["refused"] == words
    volume = place.directory("volume")
    result = place.run(place.spec(argv, mounts=[[volume, "/data", False]]))
    assert (result["code"], result["failure"]) == (128, ["StartError", words])


def test_a_program_that_exits_like_a_failed_start_is_not_one(place: Place) -> None:
    volume = place.directory("volume")
    result = place.run(place.spec(shell("exit 128"), mounts=[[volume, "/data", False]]))
    assert (result["code"], result["failure"]) == (128, None)


@pytest.mark.parametrize("target", ["/", "/proc/x", "/sys/kernel", "/etc/passwd"])
def test_impossible_targets_are_refused_with_words(place: Place, target: str) -> None:
    volume = place.directory("volume")
    result = place.run(place.spec(["/bin/true"], mounts=[[volume, target, False]]))
    assert result["code"] == 128
    assert target in result["failure"][1]


@pytest.mark.parametrize("mounted", [False, True])
def test_exec_sees_what_the_container_sees(place: Place, mounted: bool) -> None:
    volume = place.directory("volume", {"x": "inside"})
    spec = place.spec(
        shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"),
        env={"A": "b\nc"},
        mounts=[[volume, "/data", False]] if mounted else [],
        working_dir="/data" if mounted else "/usr",
    )
    execs = [
        (shell('pwd; printf %s "$A"; ls'), False),
        (shell("test -t 0 && tty && exec 3</dev/tty && stty size && exit 4"), True),
        (["nothing-like-it"], False),
    ]
    result = place.run(spec, execs=execs, signal=signal.SIGTERM)
    first, terminal, missing = result["execs"]
    assert first["out"].startswith("/data\nb\ncx" if mounted else "/usr\nb\nc"), result
    assert terminal["code"] == 4, terminal
    assert terminal["out"].startswith("/dev/pts/")
    assert result["code"] == 9
    words = 'exec: "nothing-like-it": executable file not found in $PATH'
    assert (missing["code"], missing["err"]) == (127, f"exec failed: unable to start container process: {words}\n")


def test_a_terminal_is_the_controlling_one(place: Place) -> None:
    volume = place.directory("volume")
    for mounts in ([], [[volume, "/data", False]]):
        result = place.run(place.spec(shell("echo to-tty > /dev/tty"), mounts=mounts, tty=True))
        assert (result["out"], result["code"]) == ("to-tty\r\n", 0)


def test_check(place: Place) -> None:
    volume = {"volume": "v", "path": "/data"}
    good = {"containers": [{"name": "a", "command": ["x"], "mounts": [volume]}]}
    bad = {"containers": [{"name": "a"}]}
    assert place.run(place.spec(["/bin/true"]), pod=good)["check"] is None
    assert (
        place.run(place.spec(["/bin/true"]), pod=bad)["check"] == "container a: it has no image, so it needs a command"
    )


FORKING = "import os, time\nfor n in range(60):\n    if not os.fork(): time.sleep(2); os._exit(0)\nprint('all of them')"


def test_the_kernel_counts_processes_of_a_namespace_of_ones_own(place: Place) -> None:
    """Not those the user has elsewhere: of which there are more than the limit here."""
    volume = place.directory("volume")
    spec = place.spec(["python3", "-c", FORKING], mounts=[[volume, "/data", False]])
    script = "for n in $(seq 40); do sleep 60 & done; wait"
    others = subprocess.Popen(["/bin/sh", "-c", script], user=PLAIN, cwd="/", start_new_session=True)
    try:
        assert place.run({**spec, "process_limit": 200})["out"] == "all of them\n"
        result = place.run({**spec, "process_limit": 30})
        assert "BlockingIOError" in result["err"]
        assert place.run(spec)["out"] == "all of them\n"
    finally:
        os.killpg(others.pid, signal.SIGKILL)
        others.wait()
