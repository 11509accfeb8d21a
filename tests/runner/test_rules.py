"""Kubernetes' rules that are functions, as tables."""

from __future__ import annotations

import pytest

from farnode.runner.pods.backoff import Backoff
from farnode.runner.pods.environment import command_line, expand
from farnode.runner.pods.phase import phase_alive, phase_ended, restarts
from farnode.runner.pods.state import Running, State, Terminated, Waiting

WAITING, RUNNING = Waiting("ContainerCreating"), Running(0)
DONE, FAILED = Terminated(0, "Completed", "", 0, 1), Terminated(1, "Error", "", 0, 1)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "a"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$(NONE)", "$(NONE)"),
        ("$()", "$()"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$", "$"),
        ("$$", "$"),
        ("x$(A)$(B)y", "xa$(A)y"),
        ("$(A\n)", "$(A\n)"),
        ("$\n(A)", "$\n(A)"),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "a", "B": "$(A)"}) == expanded


@pytest.mark.parametrize(
    ("command", "args", "line"),
    [
        (None, None, ["entry", "cmd"]),
        ([], [], ["entry", "cmd"]),
        (["c"], None, ["c"]),
        (None, ["x"], ["entry", "x"]),
        (["c"], ["x"], ["c", "x"]),
    ],
)
def test_command_lines(command: list[str] | None, args: list[str] | None, line: list[str]) -> None:
    image = {"entrypoint": ["entry"], "cmd": ["cmd"]}
    assert command_line({"name": "c", "image": image, "command": command, "args": args}, {}) == line  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy: str, code: int, again: bool) -> None:
    assert restarts(policy, code) is again


@pytest.mark.parametrize(
    ("inits", "containers", "phase"),
    [
        ([], [(WAITING, None)], "Pending"),
        ([], [(RUNNING, None)], "Running"),
        ([], [(RUNNING, None), (WAITING, None)], "Pending"),
        ([], [(WAITING, FAILED)], "Running"),
        ([], [(DONE, None), (RUNNING, None)], "Running"),
        ([RUNNING], [(WAITING, None)], "Pending"),
        ([FAILED], [(WAITING, None)], "Pending"),
        ([DONE], [(RUNNING, None)], "Running"),
    ],
)
def test_phases(inits: list[State], containers: list[tuple[State, State | None]], phase: str) -> None:
    assert phase_alive(inits, containers) == phase


def test_phases_at_the_end() -> None:
    assert phase_ended([DONE, DONE]) == "Succeeded"
    assert phase_ended([DONE, FAILED]) == "Failed"
    assert phase_ended([DONE, WAITING]) == "Failed"
    assert phase_ended([]) == "Failed"


def test_back_off() -> None:
    backoff, now, waits = Backoff(), 0.0, []
    for _ in range(8):
        wait = backoff.wait(now, now)
        waits.append(wait)
        now += wait
        backoff.restarted(now, now)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.wait(now + 600, now + 600) == 300
    assert backoff.wait(now + 601, now + 601) == 0
    assert backoff.wait(now + 100, now + 150) == 250
