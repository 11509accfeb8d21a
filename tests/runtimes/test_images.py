"""One behaviour of all runtimes that run images, with the real tools, as an ordinary user on a node of a site."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.testbed import Process, SlurmSite

from .conftest import ALICE
from .place import Place
from .test_process import HOSTILE, environment, shell

pytestmark = pytest.mark.system

FORMS = [
    ("apptainer", "image"),
    ("apptainer", "image.sif"),
    ("podman", "image"),
    ("charliecloud", "image"),
    ("bubblewrap", "image"),
]
OF_DIRECTORIES = ("podman", "charliecloud", "bubblewrap")
LOOP = "while :; do sleep 0.05; done"
IMAGE_ENV = {"PATH": "/usr/bin:/image/bin", "FROM_IMAGE": "image", "BOTH": "image"}


@pytest.fixture(params=FORMS, ids="-".join)
def form(request: pytest.FixtureRequest) -> tuple[str, str]:
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def place(on_node: Place, form: tuple[str, str]) -> Place:
    return replace(on_node, runtime=form[0])


@pytest.fixture
def image(place: Place, form: tuple[str, str]) -> dict[str, Any]:
    return {"path": f"{place.inside}/{form[1]}"}


def env_of(place: Place, **more: str) -> dict[str, str]:
    """As the runner would have it: apptainer knows its images' variables, for the others they are in the order."""
    return {"FARNODE_NONCE": "n0", **({} if place.runtime == "apptainer" else IMAGE_ENV), **more}


def home_of(place: Place) -> str:
    return "/root" if place.runtime == "podman" else "/home/alice"


def user_of(place: Place) -> int:
    return 0 if place.runtime == "podman" else ALICE


def left(site: SlurmSite) -> list[Process]:
    """Alice's processes; apptainer takes a moment to unmount when it was not asked nicely."""
    found: list[Process] = []
    for _ in range(100):
        found = [each for each in site.processes(1) if each.uid == ALICE]
        if not found:
            break
        site.run("root", ["sleep", "0.05"], node=1)
    return found


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


# ---- what it is given --------------------------------------------------------------------------------------------


def test_it_says_its_version(place: Place, image: dict[str, Any]) -> None:
    words = {"apptainer": "apptainer version 1", "podman": "podman version", "charliecloud": "ch-run 0.3"}
    assert words.get(place.runtime, "bubblewrap 0.") in place.run(place.spec(shell("true"), image=image))["probe"]


def test_the_environment_is_the_images_and_the_pods(place: Place, image: dict[str, Any]) -> None:
    env = env_of(place, **HOSTILE, BOTH="pod", PS1="$ ")
    result = place.run(place.spec(["env", "-0"], image=image, env=env, hostname="pod-x"))
    nothing = {"CUDA_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "void"}
    nothing["ZE_AFFINITY_MASK"] = "9999"
    own = {"HOME": home_of(place), "HOSTNAME": "pod-x", "FROM_IMAGE": "image", "BOTH": "pod", "PS1": "$ "}
    found = environment(result)
    assert found.pop("PATH").startswith("/usr/bin:/image/bin")
    assert found == {"FARNODE_NONCE": "n0", **HOSTILE, **nothing, **own}, result


def test_ten_thousand_variables(place: Place, image: dict[str, Any]) -> None:
    many = {f"VARIABLE_{number}": f"value {number} $HOME" for number in range(10_000)}
    found = environment(place.run(place.spec(["env", "-0"], image=image, env=env_of(place, **many))))
    assert {name: value for name, value in found.items() if name.startswith("VARIABLE_")} == many


def test_arguments_and_host_name(place: Place, image: dict[str, Any]) -> None:
    hostile = ["a b", "", "'", '"', "$HOME", "*", "\\", "new\nline", "--", "-x"]
    text = 'hostname; for each; do echo "<$each>"; done'
    result = place.run(place.spec([*shell(text), "zero", *hostile], image=image, env=env_of(place)))
    assert result["out"] == "pod-0\n" + "".join(f"<{each}>\n" for each in hostile)


def test_volumes_and_directories_of_its_own(place: Place, image: dict[str, Any]) -> None:
    config = place.directory("config", {"key": "value"})
    data = place.directory("data")
    text = """
        cat /etc/marker /etc/app/config.d/key '/odd, dir:"x"/key' /data/sub/key || exit 1
        touch /etc/app/config.d/new 2>/dev/null && exit 2
        for place in /data /tmp /var/tmp /dev/shm "$HOME" /root / /etc; do touch $place/made || exit 3; done
        rm /etc/marker || exit 5
        echo over > /dev/termination-log || exit 4
        echo; pwd; id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status
    """
    mounts = [
        [config, "/data/sub", False],
        [config, "/etc/app/config.d", True],
        [data, "/data", False],
        [config, '/odd, dir:"x"', True],
    ]
    spec = place.spec(shell(text), image=image, mounts=mounts, working_dir="/not/there/yet", env=env_of(place))
    result = place.run(spec)
    assert (result["code"], result["err"], result["failure"]) == (0, "", None), result
    rights = "00000000800405fb" if place.runtime == "podman" else "0000000000000000"
    assert result["out"].splitlines() == [
        "inside the image",
        "valuevaluevalue",
        "/not/there/yet",
        str(user_of(place)),
        f"CapEff:\t{rights}",
        "NoNewPrivs:\t1",
    ]
    made = [(place.path / name / "made").exists() for name in ("data", "container/tmp", "container/shm")]
    assert made == [True] * 3
    assert (place.path / "container/termination-log").read_text() == "over\n"
    assert not (place.path / "image/etc/made").exists()
    assert (place.path / "image/etc/marker").read_text() == "inside the image\n"


@pytest.mark.parametrize("form", [(name, "image") for name in OF_DIRECTORIES], ids="-".join)
def test_directories_of_the_image_can_be_replaced(place: Place, image: dict[str, Any]) -> None:
    text = (
        "rm -r /.singularity.d && mkdir /.singularity.d && ls -A /.singularity.d && rm /usr/bin/id && mkdir /usr/bin/id"
    )
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)))
    assert (result["code"], result["out"]) == (0, ""), result


def test_the_user_has_a_name(place: Place, image: dict[str, Any]) -> None:
    text = 'while IFS=: read -r name x uid x x home x; do [ "$uid" != "$1" ] || echo "$name $home"; done </etc/passwd'
    result = place.run(place.spec([*shell(text), "sh", str(user_of(place))], image=image, env=env_of(place)))
    assert result["out"].split("\n")[0] == ("root /root" if place.runtime == "podman" else "alice /home/alice"), result


def test_a_read_only_root(place: Place, image: dict[str, Any]) -> None:
    data, config = place.directory("data"), place.directory("config", {"key": "value"})
    text = """
        for place in / /etc /root /tmp /var/tmp /new /new/dir; do
            touch $place/made 2>/dev/null && echo "wrote $place"
        done
        for place in /data /new/dir/data /dev/shm; do touch $place/made || exit 3; done
        echo over > /dev/termination-log && echo > /dev/null || exit 4
        cat /etc/app/config.d/key
    """
    mounts = [[data, "/data", False], [data, "/new/dir/data", False], [config, "/etc/app/config.d", True]]
    spec = place.spec(shell(text), image=image, mounts=mounts, read_only_root=True, env=env_of(place))
    result = place.run(spec)
    assert (result["code"], result["out"], result["err"], result["failure"]) == (0, "value", "", None), result
    mounted_tmp = place.spec(
        shell("touch /tmp/made"), image=image, mounts=[[data, "/tmp", False]], read_only_root=True, env=env_of(place)
    )
    assert place.run(mounted_tmp)["code"] == 0


def test_what_is_written_to_the_root_directory_is_bounded(place: Place, image: dict[str, Any]) -> None:
    """By the container's limits; apptainer has a bound of its own, 64 MiB."""
    text = "dd if=/dev/zero of=/much bs=1M count=1 && dd if=/dev/zero of=/more bs=1M count=100 || echo full"
    result = place.run(place.spec(shell(text), image=image, root_size=4 << 20, env=env_of(place)))
    assert (result["code"], result["out"]) == (0, "full\n"), result


def test_devices(place: Place, image: dict[str, Any]) -> None:
    text = """
        for name in null zero full random urandom tty ptmx fd stdin stdout stderr pts shm; do
            test -e /dev/$name || echo "no $name"
        done
        echo x >/dev/full 2>/dev/null && echo full
        test "$(ls /dev | grep -c pretend)" = 0 || echo others
    """
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)))
    assert (result["out"], result["code"]) == ("", 0), result


# ---- how it starts and ends --------------------------------------------------------------------------------------


def test_what_a_user_wrote_is_on_no_command_line(place: Place, image: dict[str, Any]) -> None:
    volume = place.directory("data")
    spec = place.spec(
        shell("echo ready; sleep 1000"),
        image=image,
        env=env_of(place, A="secret-1"),
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
    for status in (1, 126, 127, 128, 255):
        spec = place.spec(shell(f"echo FATAL: mine >&2; exit {status}"), image=image, env=env_of(place))
        result = place.run(spec)
        assert (result["code"], result["err"], result["failure"]) == (status, "FATAL: mine\n", None)
    assert place.run(place.spec(shell("kill -9 $$"), image=image, env=env_of(place)))["code"] == 137


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-thing"], 'exec: "no-such-thing": executable file not found in $PATH'),
        (["/no/such"], 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/marker"], 'exec: "/etc/marker": permission denied'),
    ],
)
def test_a_missing_command_is_a_start_error(place: Place, image: dict[str, Any], argv: list[str], words: str) -> None:
    result = place.run(place.spec(argv, image=image, env=env_of(place)))
    assert (result["code"], result["failure"]) == (128, ["StartError", words])


def test_an_impossible_volume_is_a_start_error(place: Place, image: dict[str, Any]) -> None:
    volume = place.directory("data")
    result = place.run(place.spec(shell("true"), image=image, mounts=[[volume, "/etc/marker", False]]))
    assert result["code"] == 128
    assert result["failure"][0] == "StartError"
    assert "/etc/marker: the volume is a directory but a file is there" in result["failure"][1]


def test_an_image_that_is_not_there(place: Place) -> None:
    result = place.run(place.spec(shell("true"), image={"path": "/no/such.sif"}))
    assert result["code"] == 128
    assert "no such" in result["failure"][1].lower(), result


def test_an_image_with_one_static_program(place: Place) -> None:
    result = place.run(place.spec(["/program"], image={"path": f"{place.inside}/scratch"}))
    assert (result["code"], result["out"], result["failure"]) == (0, "\udcff", None), result


def test_a_signal_ends_it_in_grace_and_leaves_nothing(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    text = f"trap 'echo bye; exit 9' TERM; setsid sleep 1000 >/dev/null 2>&1 & echo ready; {LOOP}"
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)), signal=signal.SIGTERM)
    assert (result["code"], result["out"]) == (9, "ready\nbye\n"), result
    assert left(site) == []


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGPWR, signal.SIGRTMIN + 3])
def test_any_signal_may_be_the_stop_signal(place: Place, image: dict[str, Any], number: int) -> None:
    text = f"trap 'exit 9' {int(number)}; echo ready; {LOOP}"
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)), signal=int(number))
    assert result["code"] == 9, result


def test_a_signal_to_all_processes_leaves_the_program_its_grace(
    site: SlurmSite, place: Place, image: dict[str, Any]
) -> None:
    """As a batch system may send it at the end of an allocation."""
    place.directory("data", {"log": ""})
    text = f"trap 'sleep 1; echo graceful >>/data/log; exit 0' TERM; echo ready >>/data/log; {LOOP}"
    mounts = [[f"{place.inside}/data", "/data", False]]
    spec = place.spec(shell(text), image=image, mounts=mounts, env=env_of(place))
    (place.path / "order.json").write_text(json.dumps({"runtime": place.runtime, "spec": spec}))
    log = place.path / "data/log"
    argv = ["sh", "-c", f"cd {place.inside} && exec python3 driver.py runner.pyz <order.json"]
    with site.popen("alice", argv, node=1, env={"FARNODE_ALLOCATION": place.inside}) as driver:
        until(lambda: log.read_text() == "ready\n", "the container runs")
        pids = [str(each.pid) for each in site.processes(1) if each.uid == ALICE and "driver.py" not in each.cmdline]
        site.run("root", ["kill", "-TERM", *pids], node=1, check=False)
        result = json.loads(driver.communicate(timeout=20)[0])
    assert (result["code"], log.read_text()) == (0, "ready\ngraceful\n")
    assert left(site) == []


def test_kill_leaves_nothing(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    spec = place.spec(shell("setsid sleep 1000 & echo ready; sleep 1000"), image=image, env=env_of(place))
    result = place.run(spec, signal=signal.SIGKILL)
    assert result["code"] == -signal.SIGKILL
    assert left(site) == []
    shutil.rmtree(place.path / "container")


def test_orphans_are_reaped(place: Place, image: dict[str, Any]) -> None:
    text = 'for i in 1 2 3; do sh -c "sleep 0.05 &"; done; sleep 0.3; grep -l "State:.Z" /proc/[0-9]*/status; echo done'
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)))
    assert result["out"] == "done\n", result


# ---- one more program in it, and terminals -----------------------------------------------------------------------


def test_exec(place: Place, image: dict[str, Any]) -> None:
    volume = place.directory("data", {"x": "inside"})
    look = "for each in user pid mnt ipc uts; do readlink /proc/self/ns/$each; done; hostname; id -u"
    spec = place.spec(
        shell(f"{{ {look}; }} > /data/main; echo ready; {LOOP}"),
        image=image,
        env=env_of(place, A="b\nc"),
        mounts=[[volume, "/data", False]],
        working_dir="/data",
    )
    execs = [
        (shell(f'{look}; pwd; printf %s "$A$FROM_IMAGE"'), False),
        (shell("tty; test -t 0 && echo yes > /dev/tty && stty size && exit 4"), True),
        (["no-such-thing"], False),
        (["/etc/marker"], False),
        (shell("kill -TERM $$"), False),
        (shell("ls /dev | grep tty-; exit 0"), False),
    ]
    result = place.run(spec, execs=execs, signal=signal.SIGTERM)
    first, terminal, missing, forbidden, killed, after = result["execs"]
    main = (place.path / "data/main").read_text()
    assert first["out"] == f"{main}/data\nb\ncimage", result
    name, *rest = terminal["out"].split()
    assert (terminal["code"], rest) == (4, ["yes", "0", "0"]), terminal
    assert name.startswith("/dev/tty-")
    words = (
        'exec failed: unable to start container process: exec: "no-such-thing": executable file not found in $PATH\n'
    )
    assert (missing["code"], missing["err"]) == (127, words)
    assert forbidden["code"] == 126
    assert 'exec: "/etc/marker": permission denied' in forbidden["err"]
    assert killed["code"] == 128 + signal.SIGTERM
    assert after["out"] == ""
    assert result["code"] == 128 + signal.SIGTERM


def test_a_terminal(place: Place, image: dict[str, Any]) -> None:
    text = "test -t 1 && tty && echo to-tty > /dev/tty && ls /dev/pts"
    result = place.run(place.spec(shell(text), image=image, env=env_of(place), tty=True))
    assert (result["out"].split(), result["code"]) == (["/dev/console", "to-tty", "ptmx"], 0), result


def test_gpus_are_named_as_the_batch_system_does(place: Place, image: dict[str, Any]) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "GPU-aa,MIG-bb,2"}
    spec = place.spec(["env", "-0"], image=image, gpus=["MIG-bb"], env=env_of(place, LD_LIBRARY_PATH="/mine"))
    found = environment(place.run(spec, environ=environ))
    assert (found["CUDA_VISIBLE_DEVICES"], found["NVIDIA_VISIBLE_DEVICES"]) == ("MIG-bb", "MIG-bb")
    assert found["LD_LIBRARY_PATH"].split(":")[0] == "/mine"


DRIVER = """
mknod -m 666 /dev/nvidiactl c 1 3; mknod -m 666 /dev/nvidia0 c 1 3
echo cuda >/usr/lib/libcuda.so.570; ln -sf libcuda.so.570 /usr/lib/libcuda.so.1
printf '#!/bin/sh\\necho "\\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/libcuda.so.1"\\n' >/usr/local/bin/ldconfig
chmod 755 /usr/local/bin/ldconfig
"""


@pytest.fixture
def driver(site: SlurmSite) -> Iterator[None]:
    """A node that looks as if it had an NVIDIA GPU."""
    site.run("root", ["sh", "-ec", DRIVER], node=1)
    yield
    undo = "rm /dev/nvidiactl /dev/nvidia0 /usr/lib/libcuda.so* /usr/local/bin/ldconfig"
    site.run("root", ["sh", "-ec", undo], node=1)


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize("form", [(name, "image") for name in OF_DIRECTORIES], ids="-".join)
def test_the_nodes_driver_is_there_for_who_has_gpus(place: Place, image: dict[str, Any]) -> None:
    text = "ls /dev | grep nvidia; cat /.farnode/libs/libcuda.so.1; echo $LD_LIBRARY_PATH"
    spec = place.spec(shell(text), image=image, env=env_of(place), gpus=["0"])
    environ = {"CUDA_VISIBLE_DEVICES": "0", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    result = place.run(spec, environ=environ)
    assert result["out"].split() == ["nvidia0", "nvidiactl", "cuda", "/.farnode/libs"], result
    result = place.run({**spec, "gpus": []}, environ=environ)
    assert result["out"] == "\n", result


# ---- what it needs of a site -------------------------------------------------------------------------------------


@pytest.fixture
def without_subordinate_users(site: SlurmSite) -> Iterator[None]:
    site.run(
        "root", ["sh", "-ec", "for name in subuid subgid; do mv /etc/$name /etc/$name.old; : >/etc/$name; done"], node=1
    )
    yield
    site.run("root", ["sh", "-ec", "for name in subuid subgid; do mv /etc/$name.old /etc/$name; done"], node=1)


PODMAN = pytest.mark.parametrize("form", [("podman", "image")], ids="-".join)


@PODMAN
@pytest.mark.usefixtures("without_subordinate_users")
def test_podman_without_subordinate_users(place: Place, image: dict[str, Any]) -> None:
    text = "id -u; grep -c . /proc/self/uid_map; chown 7 /etc/marker 2>/dev/null || echo nobody else"
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)))
    assert result["out"] == "0\n1\nnobody else\n", result


@PODMAN
def test_podman_with_subordinate_users(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    text = "id -u; chown 7:7 /etc/marker && ls -n /etc/marker"
    result = place.run(place.spec(shell(text), image=image, env=env_of(place)))
    number, line = result["out"].splitlines()
    assert (number, line.split()[2:4]) == ("0", ["7", "7"]), result
    assert left(site) == []
    places = "ls -d ~/.config ~/.local ~/.cache /dev/shm/* /tmp/* /run/user/* /run/containers 2>/dev/null; true"
    assert site.run("alice", ["sh", "-c", places], node=1).stdout == ""


@pytest.mark.parametrize("form", [(name, "image") for name in OF_DIRECTORIES], ids="-".join)
def test_a_node_that_forbids_user_namespaces(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    """As user.max_user_namespaces does it: here in a user namespace, whose own limit it is."""
    limited = """
        unshare --user --map-current-user --keep-caps sh -c '
            echo 0 >/proc/sys/user/max_user_namespaces
            exec setpriv --inh-caps=-all --ambient-caps=-all "$@"' sh "$@"
    """

    def python(argv: list[str], text: str) -> str:
        argv = ["sh", "-c", limited, "sh", "python3", *argv]
        return site.run("alice", argv, node=1, input=text, env={"FARNODE_ALLOCATION": place.inside}).stdout

    result = replace(place, python=python).run(place.spec(shell("true"), image=image))
    assert "namespace" in result["problem"]
    assert (result["code"], result["failure"][0]) == (128, "ContainerCannotRun")
    assert "namespace" in result["failure"][1]


def test_a_node_without_the_tool(place: Place, image: dict[str, Any]) -> None:
    programs = {"apptainer": "apptainer or singularity", "charliecloud": "ch-run", "bubblewrap": "bwrap"}
    result = place.run(place.spec(shell("true"), image=image), path="/nowhere")
    assert result["problem"] == f"there is no {programs.get(place.runtime, place.runtime)} on PATH"


# ---- what it sees of others --------------------------------------------------------------------------------------


def test_it_sees_nothing_of_another_pod(place: Place, image: dict[str, Any]) -> None:
    secret = place.directory("secret-of-a", {"key": "hidden"})
    hide = 'for place in /tmp /var/tmp /dev/shm "$HOME" /; do echo x >$place/of-a; done; echo ready; sleep 1000'
    first = place.spec(
        shell(hide),
        image=image,
        env=env_of(place, SECRET="of-a"),
        mounts=[[secret, "/secret", False]],
    )
    look = """
        ls -d /tmp/* /var/tmp/* /dev/shm/* $HOME/* /of-a /secret 2>/dev/null
        grep -l of-a /proc/[0-9]*/environ 2>/dev/null
        for each in /proc/[0-9]*; do grep -aq '^sleep.1000' $each/cmdline && echo $each; done
        ls -d "$1" "$1"/* "$1"/../* /home/alice/place /.farnode/*/* 2>/dev/null
        for each in /proc/[0-9]*; do ls $each/root/home/alice/place 2>/dev/null; done
        grep -c place/secret /proc/self/mountinfo
        ls /dev/pts
    """
    argv = [*shell(look), "sh", f"{place.inside}/container"]
    other = place.spec(argv, "other", image=image, env=env_of(place), working_dir="/")
    result = place.run(first, beside=other, signal=signal.SIGKILL)
    assert result["beside"]["out"].split() == ["0", "ptmx"], result


def test_it_changes_nothing_of_the_nodes_settings(place: Place, image: dict[str, Any]) -> None:
    """Some cgroups may be the user's: a container could lift its limits there, or end others."""
    result = place.run(place.spec(shell("cat /proc/self/mounts"), image=image, env=env_of(place)))
    mounts = [line.split() for line in result["out"].splitlines()]
    options = {path: words.split(",") for _, path, _, words, *_ in mounts if path.startswith("/sys")}
    assert [path for path, words in options.items() if "ro" not in words] == [], result


@pytest.mark.parametrize("form", [(name, "image") for name in OF_DIRECTORIES], ids="-".join)
def test_containers_of_a_pod_can_share_their_processes(site: SlurmSite, place: Place, image: dict[str, Any]) -> None:
    shared = place.directory("processes")
    first = place.spec(
        shell("setsid sleep 1001 & echo ready; sleep 1000"),
        image=image,
        env=env_of(place, FARNODE_CONTAINER="a"),
        processes=shared,
    )
    look = "for each in /proc/[0-9]*; do grep -a -o '^sleep.100[01]' $each/cmdline; done | grep -c sleep"
    other = place.spec(shell(look), "other", image=image, env=env_of(place, FARNODE_CONTAINER="b"), processes=shared)
    result = place.run(first, beside=other, execs=[(["true"], False)], signal=signal.SIGTERM)
    assert result["execs"][0]["code"] == 0, result["execs"]
    assert result["beside"]["out"].split() == ["2"], result
    assert result["code"] == 128 + signal.SIGTERM
    assert left(site) == []


def test_who_cannot_share_processes_says_so(place: Place, image: dict[str, Any]) -> None:
    pod = {"containers": [{"name": "a", "image": image}], "share_processes": True}
    words = place.run(place.spec(shell("true"), image=image), pod=pod)["check"]
    if place.runtime == "apptainer":
        assert words == "shareProcessNamespace: apptainer cannot; use runtime podman, charliecloud or bubblewrap"
    else:
        assert words is None


def test_a_sif_is_for_apptainer_only(place: Place) -> None:
    pod = {"containers": [{"name": "a", "image": {"path": f"{place.inside}/image.sif"}}]}
    words = place.run(place.spec(shell("true"), image={"path": f"{place.inside}/image"}), pod=pod)["check"]
    if place.runtime == "apptainer":
        assert words is None
    else:
        assert words.endswith(f"is no directory, and {place.runtime} runs directories only")


def test_an_image_that_was_not_made_ready(place: Place) -> None:
    pod = {"containers": [{"name": "a", "image": {"reference": "docker.io/library/x"}}]}
    words = place.run(place.spec(shell("true"), image={"path": f"{place.inside}/image"}), pod=pod)["check"]
    assert words == "container a: its image has not been made ready for this site"
