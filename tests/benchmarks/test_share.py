"""How the share of GPU time is counted."""

from __future__ import annotations

import pytest

from benchmarks.ground import GPUS
from benchmarks.utilisation import Use, share


def test_full_use_of_all_gpus_is_one() -> None:
    turns = [Use(begin, begin + 0.5, f"n{gpu // 4}:{gpu % 4}") for gpu in range(GPUS) for begin in (10.0, 10.5)]
    assert share(turns) == pytest.approx(1.0)


def test_gpus_that_nobody_had_count_too() -> None:
    assert share([Use(0.0, 1.0, "n1:0"), Use(1.0, 2.0, "n1:0")]) == pytest.approx(1 / GPUS)


def test_two_at_once_on_one_gpu_are_an_error() -> None:
    with pytest.raises(AssertionError, match=r"two tasks had n1:0 at once"):
        share([Use(0.0, 1.0, "n1:0"), Use(0.9, 2.0, "n1:0")])
