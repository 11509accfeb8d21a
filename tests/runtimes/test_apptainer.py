"""The apptainer runtime with the real thing, as an ordinary user on a node of a site."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from farnode.runner.runtimes import holder
from tests.testbed import Process, SiteSpec, SlurmSite, free_index

from .place import Place
from .test_process import HOSTILE, environment, shell

pytestmark = pytest.mark.system

ALICE = 1001
BUILD = r"""
mkdir -p image/dev image/proc image/sys image/etc image/tmp image/var/tmp image/root image/work image/usr/bin
mkdir -p image/.singularity.d/env
for tool in sh cat env ls id sleep touch mkdir stty hostname setsid true readlink grep; do
    path=$(readlink -f /usr/bin/$tool)
    cp "$path" image/usr/bin/$tool
    for library in $(ldd "$path" | grep -o '/[^ )]*'); do
        mkdir -p "image$(dirname $library)"
        test -e "image$library" || cp -L "$library" "image$library"
    done
done
ln -s usr/bin image/bin
echo 'inside the image' >image/etc/marker
cat >image/.singularity.d/env/10-docker2singularity.sh <<'END'
#!/bin/sh
export PATH="/usr/bin:/image/bin"
export FROM_IMAGE="image"
export BOTH="image"
END
apptainer -q build image.sif image
"""


@pytest.fixture(scope="module")
def site() -> Iterator[SlurmSite]:
    with SlurmSite(SiteSpec(nodes=1, index=free_index(), farnode=False)) as site:
        yield site


@pytest.fixture(scope="module")
def place(site: SlurmSite) -> Place:
    path = site.home("alice") / "place"
    path.mkdir()
    os.chown(path, ALICE, ALICE)

    def python(argv: list[str], text: str) -> str:
        env = {"FARNODE_ALLOCATION": "/home/alice/place", "SLURM_JOB_ID": "7", "http_proxy": "http://host"}
        return site.run("alice", ["python3", *argv], node=1, input=text, env=env).stdout

    place = Place(path, "/home/alice/place", ALICE, "apptainer", python)
    site.run("alice", ["sh", "-ec", f"cd place\n{BUILD}"], node=1)
    for name in ("dev", "proc", "sys", "etc", "tmp", "var/tmp"):
        place.directory(f"scratch/{name}")
    holder.write(str(path / "scratch/program"))
    os.chown(path / "scratch/program", ALICE, ALICE)
    return place


@pytest.fixture(params=["image", "image.sif"])
def image(request: pytest.FixtureRequest, place: Place) -> dict[str, Any]:
    return {"path": f"{place.inside}/{request.param}"}


def test_it_says_its_version(place: Place, image: dict[str, Any]) -> None:
    assert "apptainer version 1" in place.run(place.spec(shell("true"), image=image))["probe"]


def test_the_environment_is_the_images_and_the_pods(place: Place, image: dict[str, Any]) -> None:
    spec = place.spec(["env", "-0"], image=image, env={**HOSTILE, "BOTH": "pod", "PS1": "$ "}, hostname="pod-x")
    result = place.run(spec)
    nothing = {"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
    own = {"HOME": "/home/alice", "HOSTNAME": "pod-x", "FROM_IMAGE": "image", "BOTH": "pod", "PS1": "$ "}
    found = environment(result)
    assert found.pop("PATH").startswith("/usr/bin:/image/bin")
    assert found == {**HOSTILE, **nothing, **own}, result


def test_volumes_and_directories_of_its_own(place: Place, image: dict[str, Any]) -> None:
    config = place.directory("config", {"key": "value"})
    data = place.directory("data")
    text = """
        cat /etc/marker /etc/app/config.d/key '/odd, dir:"x"/key' /data/sub/key || exit 1
        touch /etc/app/config.d/new 2>/dev/null && exit 2
        for place in /data /tmp /var/tmp /dev/shm "$HOME" /root / /etc; do touch $place/made || exit 3; done
        echo over > /dev/termination-log || exit 4
        echo; ls -A /home; pwd; id -u; hostname
        grep -E 'CapEff|NoNewPrivs' /proc/self/status
    """
    mounts = [
        [config, "/data/sub", False],
        [config, "/etc/app/config.d", True],
        [data, "/data", False],
        [config, '/odd, dir:"x"', True],
    ]
    result = place.run(place.spec(shell(text), image=image, mounts=mounts, working_dir="/not/there/yet"))
    assert (result["code"], result["err"], result["failure"]) == (0, "", None), result
    assert result["out"].splitlines() == [
        "inside the image",
        "valuevaluevalue",
        "alice",
        "/not/there/yet",
        "1001",
        "pod-0",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ]
    made = [(place.path / name / "made").exists() for name in ("data", "container/tmp", "container/shm")]
    assert made == [True] * 3
    assert (place.path / "container/termination-log").read_text() == "over\n"
    assert not (place.path / "image/etc/made").exists()


def test_what_a_user_wrote_is_on_no_command_line(place: Place, image: dict[str, Any]) -> None:
    volume = place.directory("data")
    spec = place.spec(
        shell("echo ready; sleep 1000"),
        image=image,
        env={"FARNODE_NONCE": "n0", "A": "secret-1"},
        mounts=[[volume, "/secret-2", False]],
        hostname="secret-3",
        working_dir="/secret-4",
    )
    result = place.run(spec, execs=[(["true"], False)], signal=signal.SIGTERM)
    assert [line for line in result["commands"] if "sleep 1000" in line]
    assert [line for line in result["commands"] if "secret" in line] == []
    argv = place.run({**spec, "argv_entry": ["true"]})["argv"]
    assert "secret" not in shlex.join(argv)
    assert list((place.path / "container/run").glob("enter-*")) == []


def test_the_programs_exit_status_is_its_own(place: Place, image: dict[str, Any]) -> None:
    for status in (1, 128, 255):
        result = place.run(place.spec(shell(f"echo FATAL: mine >&2; exit {status}"), image=image))
        assert (result["code"], result["err"], result["failure"]) == (status, "FATAL: mine\n", None)
    assert place.run(place.spec(shell("kill -9 $$"), image=image))["code"] == 137


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-thing"], 'exec: "no-such-thing": executable file not found in $PATH'),
        (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/marker"], 'exec: "/etc/marker": permission denied'),
    ],
)
def test_a_missing_command_is_a_start_error(place: Place, image: dict[str, Any], argv: list[str], words: str) -> None:
    result = place.run(place.spec(argv, image=image))
    assert (result["code"], result["failure"]) == (128, ["StartError", words])


def test_an_image_that_is_not_there(place: Place) -> None:
    result = place.run(place.spec(shell("true"), image={"path": "/no/such.sif"}))
    assert result["code"] == 128
    assert result["failure"][0] == "ContainerCannotRun"
    assert "/no/such.sif" in result["failure"][1]


def test_an_image_with_one_static_program(place: Place) -> None:
    result = place.run(place.spec(["/program"], image={"path": f"{place.inside}/scratch"}))
    assert (result["code"], result["out"], result["failure"]) == (0, "\udcff", None), result


def test_a_signal_ends_it_in_grace_and_leaves_nothing(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    text = "trap 'echo bye; exit 9' TERM; setsid sleep 1000 >/dev/null 2>&1 & echo ready; while :; do sleep 0.05; done"
    result = place.run(place.spec(shell(text), image=image), signal=signal.SIGTERM)
    assert (result["code"], result["out"]) == (9, "ready\nbye\n"), result
    assert left(site) == []


def test_a_signal_to_all_processes_leaves_the_program_its_grace(site: SlurmSite, place: Place) -> None:
    """As a batch system may send it at the end of an allocation."""
    place.directory("data", {"log": ""})
    text = (
        "trap 'sleep 1; echo graceful >>/data/log; exit 0' TERM; echo ready >>/data/log; while :; do sleep 0.05; done"
    )
    mounts = [[f"{place.inside}/data", "/data", False]]
    spec = place.spec(shell(text), image={"path": f"{place.inside}/image"}, mounts=mounts)
    (place.path / "order.json").write_text(json.dumps({"runtime": "apptainer", "spec": spec}))
    log = place.path / "data/log"
    argv = ["sh", "-c", f"cd {place.inside} && exec python3 driver.py runner.pyz <order.json"]
    with site.popen("alice", argv, node=1, env={"FARNODE_ALLOCATION": place.inside}) as driver:
        until(lambda: log.read_text() == "ready\n", "the container runs")
        pids = [str(each.pid) for each in site.processes(1) if each.uid == ALICE and "driver.py" not in each.cmdline]
        site.run("root", ["kill", "-TERM", *pids], node=1, check=False)
        result = json.loads(driver.communicate(timeout=20)[0])
    assert (result["code"], log.read_text()) == (0, "ready\ngraceful\n")
    assert left(site) == []


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_kill_leaves_nothing(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    text = "setsid sleep 1000 & echo ready; sleep 1000"
    result = place.run(place.spec(shell(text), image=image), signal=signal.SIGKILL)
    assert result["code"] == -signal.SIGKILL
    assert left(site) == []


def left(site: SlurmSite) -> list[Process]:
    """Alice's processes; apptainer takes a moment to unmount when it was not asked nicely."""
    found: list[Process] = []
    for _ in range(100):
        found = [each for each in site.processes(1) if each.uid == ALICE]
        if not found:
            break
        site.run("root", ["sleep", "0.05"], node=1)
    return found


def test_exec(place: Place, image: dict[str, Any]) -> None:
    volume = place.directory("data", {"x": "inside"})
    look = "readlink /proc/self/ns/pid /proc/self/ns/mnt; hostname"
    spec = place.spec(
        shell(f"{{ {look}; }} > /data/main; echo ready; while :; do sleep 0.05; done"),
        image=image,
        env={"A": "b\nc"},
        mounts=[[volume, "/data", False]],
        working_dir="/data",
    )
    execs = [
        (shell(f'{look}; pwd; printf %s "$A$FROM_IMAGE"'), False),
        (shell("test -t 0 && echo yes > /dev/tty && stty size && exit 4"), True),
        (["no-such-thing"], False),
        (shell("kill -TERM $$"), False),
    ]
    result = place.run(spec, execs=execs, signal=signal.SIGTERM)
    first, terminal, missing, killed = result["execs"]
    main = (place.path / "data/main").read_text()
    assert first["out"] == f"{main}/data\nb\ncimage", result
    assert (terminal["code"], terminal["out"].split()) == (4, ["yes", "0", "0"]), terminal
    assert missing["code"] == 128
    assert 'exec: "no-such-thing": executable file not found in $PATH' in missing["err"]
    assert killed["code"] == 128 + signal.SIGTERM
    assert result["code"] == 128 + signal.SIGTERM


def test_a_terminal(place: Place, image: dict[str, Any]) -> None:
    result = place.run(place.spec(shell("test -t 1 && echo to-tty > /dev/tty"), image=image, tty=True))
    assert (result["out"], result["code"]) == ("to-tty\r\n", 0), result


def test_gpus_are_named_as_the_batch_system_does(place: Place, image: dict[str, Any]) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "GPU-aa,MIG-bb,2"}
    spec = place.spec(["env", "-0"], image=image, gpus=["MIG-bb"], env={"LD_LIBRARY_PATH": "/mine"})
    found = environment(place.run(spec, environ=environ))
    shown = {name: found.get(name) for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")}
    assert shown == {
        "CUDA_VISIBLE_DEVICES": "MIG-bb",
        "NVIDIA_VISIBLE_DEVICES": "MIG-bb",
        "LD_LIBRARY_PATH": "/mine:/.singularity.d/libs",
    }
