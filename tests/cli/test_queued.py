"""What `describe` tells of a pod that waits for room, of its gang and of its pilot."""

from __future__ import annotations

from typing import Any

from farnode import Pod
from farnode.cli.story import tell
from tests.cli.conftest import Shell
from tests.client.fake import pod

NOW = 1767229200.0
"""2026-01-01T01:00:00Z"""
WORDS = "asking for an allocation: main"
VIEW: Any = {
    "uid": "u",
    "name": "train",
    "owner": "alice",
    "status": {"phase": "Pending", "message": WORDS},
    "queuedAt": NOW - 300,
    "waiting": {"words": WORDS, "pods": 1937, "oldest": NOW - 600},
    "gang": {"name": "ring", "size": 4, "failure": "stop"},
}
SITE: Any = {
    "allocations": [
        {"kind": "pilot", "phase": "running"},
        {"kind": "pilot", "phase": "queued", "expectedStart": NOW + 700},
        {"kind": "pilot", "phase": "queued", "expectedStart": NOW + 60},
        {"kind": "dedicated", "phase": "running"},
    ],
    "nodeHours": {"today": {"alice": 9.25, "bob": 1.0}, "cap": 10.0},
}


def told(view: Any, site: Any) -> list[str]:
    return tell(Pod(view), NOW, around=site).splitlines()


def test_who_else_waits_and_what_is_on_its_way() -> None:
    lines = told(VIEW, SITE)
    place = lines.index("Queue:")
    assert lines[place + 1 : place + 6] == [
        "  Waiting:     for 5m, since 2026-01-01T00:55:00Z",
        "  For:         asking for an allocation: main",
        "  In Line:     1,937 pods, the first for 10m",
        "  Pilots:      1 running, 2 queued, the next expected to start in 60s",
        "  Node-Hours:  9.2 of 10 today",
    ]
    assert "Gang:       ring: 4 pods start together; when one fails, the others are ended" in lines


def test_alone_and_without_a_cap() -> None:
    view = {key: value for key, value in VIEW.items() if key != "waiting"}
    lines = told(view, {"allocations": [], "nodeHours": {"today": {}}})
    place = lines.index("Queue:")
    assert lines[place + 1 : place + 3] == ["  Waiting:  for 5m, since 2026-01-01T00:55:00Z", "  Pilots:   none"]
    assert not any("In Line" in line or "Node-Hours" in line for line in lines)


def test_one_that_is_the_whole_line() -> None:
    lines = told({**VIEW, "waiting": {"words": WORDS, "pods": 1, "oldest": NOW - 300}}, SITE)
    assert "  In Line:     1 pod, the first for 5m" in lines


def test_what_has_an_allocation_waits_for_no_pilot() -> None:
    lines = told({**VIEW, "allocation": {"kind": "dedicated", "phase": "queued", "job": "7"}}, SITE)
    assert "  Kind:   dedicated" in lines
    assert not any("Pilots" in line for line in lines)
    assert "Queue:" not in told(VIEW, None)


def test_describe_asks_the_site_only_of_what_waits(shell: Shell) -> None:
    shell("run", "-d", "-f", shell.file("pods.yaml", pod("one"), pod("two")))

    def wait(site: Any) -> None:
        one, two = site.views
        site.set_status(one, **{key: VIEW[key] for key in ("queuedAt", "status", "waiting")})
        site.set_status(two, status={"phase": "Pending"})
        site.doing.update(SITE)

    shell.gateway.do(wait)
    assert "1,937 pods, the first for" in shell("describe", "one").stdout
    assert "Queue:" not in shell("describe", "two").stdout
