"""What a site is doing: the text, the data, and the screen of a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from farnode.cli import screen
from farnode.cli.overview import overview
from farnode.cli.screen import divided
from farnode.model.api import SiteView
from tests.cli.conftest import Shell

NOW = 1_767_229_200.0
GIB = 1 << 30


def allocation(number: int, kind: str = "pilot", **more: Any) -> Any:
    return {
        "nonce": f"n{number}",
        "kind": kind,
        "job": str(number),
        "phase": "running",
        "offer": "main",
        "nodes": [f"node{number}"],
        "askedAt": NOW - 700 + number,
        "startedAt": NOW - 600,
        "endsAt": NOW + 13_000,
        "pods": 2,
        "running": [f"default/a{number}", f"default/b{number}"],
        "draining": False,
        "capacity": {"millicores": 16_000, "memory": 15 * GIB, "gpus": 4},
        "used": {"millicores": 7_500, "memory": 3 * GIB, "gpus": 2},
        "owner": "alice",
        **more,
    }


QUEUED = {"phase": "queued", "nodes": [], "pods": 0, "running": [], "words": "the partition is full"}
NOTHING = {"millicores": 0, "memory": 0, "gpus": 0}
DOING: Any = {
    "name": "lab",
    "healthy": True,
    "allocations": [
        allocation(2, **QUEUED, used=NOTHING, startedAt=None, endsAt=None, expectedStart=NOW + 3700),
        allocation(1, words="it runs"),
        allocation(3, pods=0, running=[], draining=True, idleSeconds=30.0, used=NOTHING, owner="bob", words="is idle"),
        *(
            {
                **allocation(4, "gang"),
                "nonce": f"g-{seat}",
                "nodes": [f"node{seat}"],
                "pods": 1,
                "running": [f"d/m{seat}"],
            }
            for seat in range(4)
        ),
    ],
    "waiting": [
        {"words": "asking for an allocation: main", "pods": 1937, "oldest": NOW - 300},
        {"words": "waiting for images", "pods": 2, "oldest": NOW - 3},
    ],
    "calls": {"burst": 40, "perMinute": 4.0, "left": 31.4, "made": {"squeue": 12, "sbatch": 3}, "waiting": 1},
    "nodeHours": {"today": {"alice": 9.96, "bob": 0.1}, "cap": 10.0},
}
EXPECTED = Path(__file__).parent / "top.txt"


def test_the_whole_view() -> None:
    assert overview(DOING, NOW, False).text(100) + "\n" == EXPECTED.read_text()
    rows = [line.split() for line in overview(DOING, NOW, True).text(100).splitlines()]
    assert rows[-6:] == [
        ["default/a1", "1", "node1"],
        ["default/b1", "1", "node1"],
        *(["d/m" + str(seat), "4", f"node{seat}"] for seat in range(4)),
    ]


def test_an_older_gateway_and_an_idle_one_are_told_of_too() -> None:
    old: Any = {"name": "lab", "healthy": False, "problem": "no answer", "allocations": [{"nonce": "n", "pods": 2}]}
    assert overview(old, NOW, True).text(9).startswith("lab: Unhealthy: no answer\nallocations: 1 ?; pods: 2 bound")
    idle: Any = {"name": "lab", "healthy": True, "allocations": [], "waiting": [], "nodeHours": {"today": {}}}
    lines = ["lab: Ready", "allocations: 0; pods: 0 bound, 0 waiting", "node-hours today: none"]
    assert overview(idle, NOW, True).text(9) == "\n".join(lines)


def crowd(count: int) -> SiteView:
    """More of everything than fits on any screen."""
    waiting = [{"words": f"reason {number} " + "x" * 300, "pods": 1, "oldest": NOW} for number in range(32)]
    return SiteView(  # type: ignore[typeddict-item]
        name="lab", allocations=[allocation(number, pods=100) for number in range(count)], waiting=waiting
    )


def drawn(doing: SiteView, height: int, width: int) -> list[str]:
    written = StringIO()
    console = Console(file=written, width=width, height=height, force_terminal=True, color_system=None)
    console.print(screen.drawn(overview(doing, NOW, True), "Ctrl-C to leave", *console.size))
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
@pytest.mark.parametrize("doing", [crowd(0), DOING, crowd(300)], ids=["idle", "usual", "crowd"])
def test_a_screen_shows_no_more_than_it_has_room_for(doing: SiteView, width: int) -> None:
    for height in range(2, 60):
        lines = drawn(doing, height, width)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("lab:")
        assert lines[-1].startswith("Ctrl-C")


def test_words_of_many_lines_take_one() -> None:
    words = "it could not begin:\n  no python\n\tat all"
    waiting = [{"words": words, "pods": 1, "oldest": NOW}]
    doing: Any = {"name": "lab", "problem": words, "allocations": [allocation(1, **QUEUED)], "waiting": waiting}
    doing["allocations"][0]["words"] = words
    flat = [line for line in drawn(doing, 40, 300) if "it could not begin: no python at all" in line]
    assert [line.split()[0] for line in flat] == ["lab:", "1", "1"]
    assert len(drawn(doing, 10, 300)) <= 10


def test_each_table_has_a_part_of_the_screen() -> None:
    lines = drawn(crowd(300), 60, 200)
    assert len(lines) == 60
    assert {"JOB", "WAITING", "POD"} <= {line.split()[0] for line in lines if line}
    assert [line for line in lines if re.match("… and 2.. more", line)]
    assert "MEMORY" in " ".join(lines)
    assert "MEMORY" not in " ".join(drawn(DOING, 60, 80))


def test_room_is_divided() -> None:
    assert divided([3, 100, 100], 43) == [3, 20, 20]
    assert divided([5, 5], 43) == [5, 5]
    assert divided([5, 5], 0) == [0, 0]
    assert divided([], 10) == []


def test_text_and_data(shell: Shell) -> None:
    shell.gateway.do(lambda site: site.doing.update(crowd(300)))
    told = shell("top", "--pods").stdout.splitlines()
    assert told[0] == "lab: Ready"
    assert "… and 200 more" in told
    assert len(told) < 250
    assert len(json.loads(shell("top", "-o", "json").stdout)["allocations"]) == 300
    assert shell("top", "--interval", "0").exit_code == 2


class Terminal:
    """Of a process; `screen` is what it has written, without what moves the cursor."""

    def __init__(self, rows: int, columns: int) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = ""

    def expect(self, pattern: str) -> None:
        until = time.monotonic() + 30
        while not re.search(pattern, self.screen):
            left = until - time.monotonic()
            assert select.select([self.ours], [], [], max(0.0, left))[0], f"{pattern!r} is not in {self.screen!r}"
            text = os.read(self.ours, 65536).decode("utf-8", "replace")
            self.screen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_terminal_that_can_do_nothing_gets_it_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(24, 80)
    with shell.popen("top", stdout=terminal.theirs) as process:
        os.close(terminal.theirs)
        terminal.expect("lab: Ready\r\nallocations: 1 running; pods: 2 bound, 0 waiting\r\n")
        assert process.wait(30) == 0
    os.close(terminal.ours)


def test_a_terminal_shows_it_again_and_again_until_ctrl_c(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shell.gateway.do(lambda site: site.doing.update(crowd(300)))
    terminal = Terminal(24, 100)
    streams = {"stdin": terminal.theirs, "stdout": terminal.theirs, "stderr": subprocess.PIPE}
    with shell.popen("top", "--interval", "0.2", "--pods", **streams) as process:
        os.close(terminal.theirs)
        terminal.expect("allocations: 300 running; pods: 30,000 bound, 32 waiting")
        terminal.expect("… and 2.. more")
        shell.gateway.do(lambda site: site.doing.update(DOING))
        terminal.expect("alice 10.0 of 10")
        shell.gateway.stop()
        terminal.expect("as it was before: lab: cannot reach")
        shell.gateway.start()
        shell.gateway.do(lambda site: site.doing.update(waiting=[]))
        terminal.expect("6 bound, 0 waiting")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(terminal.ours)
