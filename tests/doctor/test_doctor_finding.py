"""The bound around a check: whatever it does, there is a finding, in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from farnode.errors import Transient
from farnode.gateway.doctor.finding import Finding, bounded, fail, in_thread, ok


def outcome(check: Callable[[], Coroutine[Any, Any, list[Finding]]], seconds: float = 30) -> list[Finding]:
    return asyncio.run(bounded("it", check(), seconds))


async def well() -> list[Finding]:
    return [ok("it", "is well")]


async def away() -> list[Finding]:
    raise Transient("nobody answers")


async def hung() -> list[Finding]:
    """As on a file server that is gone: in a thread that cannot be interrupted."""
    released.clear()
    return await in_thread(lambda: [ok("it", str(released.wait(30)))])


async def broken() -> list[Finding]:
    return await in_thread(lambda: [ok("it", str(1 // 0))])


released = threading.Event()


def test_what_a_check_finds_is_what_is_found() -> None:
    assert outcome(well) == [ok("it", "is well")]


def test_an_error_is_a_finding() -> None:
    assert outcome(away) == [fail("it", "nobody answers", "correct this, and run it again")]


def test_a_check_that_hangs_ends() -> None:
    """And keeps neither the loop nor the program from ending."""
    (finding,) = outcome(hung, 0.05)
    released.set()
    assert (finding.state, finding.words) == ("fail", "no answer within 0.05 s")


def test_a_defect_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(broken)
