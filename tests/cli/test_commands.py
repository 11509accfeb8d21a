"""Each command as a person types it, against the real API."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cli.conftest import Shell
from tests.client.fake import pod


def submitted(shell: Shell, *names: str) -> list[str]:
    result = shell("run", "-d", "-o", "json", "-f", shell.file("pods.yaml", *(pod(name) for name in names)))
    assert result.exit_code == 0, result.stderr
    return [view["uid"] for view in json.loads(result.stdout)]


def test_run_shows_the_log_and_exits_with_the_pods_code(shell: Shell) -> None:
    def live(uid: str) -> None:
        site = shell.gateway.state
        site.write(uid, b"hello\n")
        site.start(uid)
        site.end(uid, 3)

    shell.gateway.state.on_submit = live
    result = shell("run", "-f", shell.file("pod.yaml", pod("one")))
    assert (result.exit_code, result.stdout) == (3, "hello\n")
    assert "pod default/one: Error (exit code 3)" in result.stderr.splitlines()
    assert shell("run", "-f", "-", stdin=json.dumps(pod("two"))).exit_code == 3


def test_run_of_several_marks_lines_and_fails_with_the_first(shell: Shell) -> None:
    def live(uid: str) -> None:
        name = shell.gateway.state.views[uid]["name"]
        shell.gateway.state.write(uid, f"I am {name}".encode())
        shell.gateway.state.end(uid, {"one": 0, "two": 4, "three": 5}[name])

    shell.gateway.state.on_submit = live
    file = shell.file("pods.yaml", pod("one"), pod("two"), pod("three"))
    result = shell("run", "--logs", "-f", file)
    assert result.exit_code == 4
    assert sorted(result.stdout.splitlines()) == [
        "[one/main] I am one",
        "[three/main] I am three",
        "[two/main] I am two",
    ]


def test_run_builds_a_pod_from_options(shell: Shell) -> None:
    options = "--image busybox:1.36 --name hello --gpus 2 --cpus 500m --env A=b=c --walltime 2h --site lab"
    assert shell("run", "-d", *options.split(), "--", "echo", "-n", "hi").exit_code == 0
    manifest = next(iter(shell.gateway.state.views.values()))["pod"]
    assert manifest["metadata"]["annotations"] == {"farnode.io/walltime": "2h"}
    assert manifest["spec"]["containers"] == [
        {
            "name": "hello",
            "image": "busybox:1.36",
            "args": ["echo", "-n", "hi"],
            "env": [{"name": "A", "value": "b=c"}],
            "resources": {"limits": {"cpu": "500m", "nvidia.com/gpu": "2"}},
        }
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], 2, "name what to run"),
        (["run", "-f", "x", "--image", "y"], 2, "either -f or --image"),
        (["run", "-f", "/no/such.yaml"], 1, "error: /no/such.yaml: no such file or directory"),
        (["run", "--image", "a", "--env", "B"], 1, "error: --env: 'B' is not NAME=VALUE"),
        (["logs", "nothing"], 1, "error: no pod 'nothing'"),
        (["logs", "x", "--since", "5"], 1, "error: --since: '5' is not a duration"),
        (["logs", "x", "--since", "5m", "--since-time", "t"], 2, "exclude each other"),
        (["delete"], 2, "name pods, or use --all"),
        (["delete", "x", "--all"], 2, "name pods, or use --all"),
        (["delete", "x", "--now", "--grace-period", "3"], 2, "exclude each other"),
        (["ps", "--site", "mars"], 1, "error: site: 'mars' is not configured; known: boss, lab"),
        (["exec", "x"], 2, "Missing argument"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, words: list[str], code: int, said: str) -> None:
    result = shell(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert code == 2 or len(result.stderr.splitlines()) == 1


def test_ps_in_all_its_forms(shell: Shell) -> None:
    assert shell("ps").stderr == "No pods.\n"
    one, two = submitted(shell, "one", "two")
    shell.gateway.do(lambda site: site.start(one))
    table = [line.split() for line in shell("ps").stdout.splitlines()]
    assert table[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [line[:4] for line in table[1:]] == [["one", "1/1", "Running", "0"], ["two", "0/1", "Pending", "0"]]
    assert shell("ps", "-o", "name").stdout == "default/one\ndefault/two\n"
    assert [view["uid"] for view in json.loads(shell("ps", "-o", "json").stdout)] == [one, two]
    assert yaml.safe_load(shell("--site", "lab", "ps", two[:6], "-o", "yaml").stdout)[0]["uid"] == two
    assert two in shell("ps", "-o", "wide").stdout


def test_logs(shell: Shell) -> None:
    (one,) = submitted(shell, "one")
    shell.gateway.do(lambda site: site.write(one, b"a\nb\n"))
    shell.gateway.do(lambda site: site.end(one))
    assert shell("logs", "one").stdout == "a\nb\n"
    assert shell("logs", "-f", "default/one", "-c", "main", "--limit-bytes", "3").stdout == "a\nb"
    shell("logs", "one", "--tail", "5", "--since", "2m", "-p", "--timestamps")
    asked = shell.gateway.state.logs_asked[-1]
    assert (asked["tail"], asked["previous"], asked["timestamps"]) == (5, True, True)


def test_delete(shell: Shell) -> None:
    one, two, three = submitted(shell, "one", "two", "three")
    assert shell("delete", "--now", "one").stdout == "pod default/one deleted\n"
    assert shell("delete", "--all").stdout == "pod default/two deleted\npod default/three deleted\n"
    assert shell("delete", "--purge", "--grace-period", "0", "two").stdout == "pod default/two purged\n"
    assert shell.gateway.state.deletions == [
        {"uid": one, "graceSeconds": 1, "purge": False},
        {"uid": two, "purge": False},
        {"uid": three, "purge": False},
        {"uid": two, "graceSeconds": 0, "purge": True},
    ]


def test_describe_tells_the_story(shell: Shell) -> None:
    (one,) = submitted(shell, "one")
    allocation = {"job": "42", "phase": "queued", "reason": "Priority", "words": "higher priority jobs are first"}
    notes = [{"at": 1767225600.0, "kind": "Normal", "reason": "Queued", "message": "asked for an allocation"}]
    shell.gateway.do(lambda site: site.set_status(one, allocation=allocation, notes=notes, gpus=["0", "1"]))
    told = shell("describe", "one").stdout
    assert "  Says:   Priority: higher priority jobs are first" in told
    assert "2026-01-01T00:00:00Z" in told
    assert "Queued" in told
    assert "State:          Not started" in told
    shell.gateway.do(lambda site: site.end(one, 3))
    told = shell("describe", "one").stdout
    assert (
        "State:          Terminated\n                      Reason:     Error\n                      Exit Code:  3"
        in told
    )
    assert json.loads(shell("describe", "one", "-o", "json").stdout)["uid"] == one


def test_sites(shell: Shell) -> None:
    (shell.home / "sites.d").mkdir()
    (shell.home / "sites.d" / "gone.yaml").write_text(f"url: unix:{shell.home}/gone.sock\n")
    told = shell("sites", "-o", "wide")
    rows = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert "lab * Ready 2 Running 1 running 0 1 4 a100 fake 1" in rows
    assert any(row.startswith("gone Away gone: cannot reach") for row in rows)
    assert "gpu gpu 2 8 64Gi 4 a100 2h" in rows
    data = json.loads(shell("sites", "--site", "gone", "-o", "json").stdout)
    assert data[0]["name"] == "gone"


def test_a_gateway_is_drained_with_its_own_entry(shell: Shell) -> None:
    file = shell.file("gateway.yaml", {"site": "boss", "provider": {"kind": "local"}})
    assert "Draining" in shell("gateway", "drain", "-c", file).stdout
    assert "Ready" in shell("gateway", "undrain", "-c", file).stdout
    assert "fake" in shell("gateway", "status", "-c", file).stdout
    assert shell("gateway", "stop", "-c", file).exit_code == 2
    assert shell("gateway", "stop", "--all", "-c", file).stdout == "ending 0 pods\n"


def test_a_token_goes_to_a_private_file(shell: Shell) -> None:
    file = shell.file(
        "gateway.yaml", {"site": "own", "provider": {"kind": "local"}, "state": str(shell.home / "state")}
    )
    out = shell.home / "new.token"
    assert shell("gateway", "token", "-c", file, "--owner", "alice", "--out", str(out)).output == ""
    assert out.stat().st_mode & 0o777 == 0o600
    assert "File exists" in shell("gateway", "token", "-c", file, "--owner", "alice", "--out", str(out)).stderr
    assert shell("gateway", "token", "-c", file, "--owner", "bob", "--role", "admin").stdout.startswith("farnode_")


COMMANDS = "run ps logs exec attach port-forward cp describe delete sites top doctor demo"


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS.split())])
def test_help_has_examples(shell: Shell, words: list[str]) -> None:
    assert f"  farnode {' '.join(words)}" in shell(*words, "--help").stdout
