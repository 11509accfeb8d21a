"""What is left of the budget when the gateway is started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from farnode.providers.slurm.budget import Budget, Urgency
from farnode.providers.slurm.ledger import Ledger
from tests.providers.helpers import Clock

pytestmark = pytest.mark.anyio


def budget(path: Path, clock: Clock) -> Budget:
    return Budget(40, 4, clock=clock, ledger=Ledger(path, clock))


async def test_a_new_gateway_goes_on_where_the_last_one_died(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    first = budget(tmp_path / "calls", clock)
    assert first.left == 40
    for _ in range(12):
        await first.take(Urgency.SUBMIT)
    clock.now += 30
    assert budget(tmp_path / "calls", clock).left == pytest.approx(30)
    clock.now += 3600
    assert budget(tmp_path / "calls", clock).left == 40


@pytest.mark.parametrize("text", ["", "nonsense", "1000.0 nan", "1 2 3", "1000 -5"])
async def test_what_cannot_be_understood_is_a_full_bucket(tmp_path: Path, text: str) -> None:
    (tmp_path / "calls").write_text(text)
    assert budget(tmp_path / "calls", Clock(1000.0)).left == 40


async def test_a_clock_that_was_set_back_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "calls").write_text("5000 7\n")
    assert budget(tmp_path / "calls", Clock(1000.0)).left == pytest.approx(7)


async def test_a_disk_that_takes_nothing_does_not_stop_a_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = budget(tmp_path / "missing" / "calls", Clock(1000.0))
    await one.take(Urgency.QUERY)
    assert one.left == 39
    assert "cannot be counted" in caplog.text
