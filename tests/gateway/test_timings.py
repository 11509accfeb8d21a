"""Histograms of waits and starts, and the whole text that Prometheus reads."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

import pytest

from farnode.gateway import stimuli as s
from farnode.gateway.machine import Machine
from farnode.gateway.metrics import Figures, render
from farnode.gateway.records import Stage
from farnode.gateway.state import Rules
from farnode.gateway.timings import STARTS, Histogram, Timings
from farnode.model.allocation import AllocationRequest
from farnode.model.bundle import parse_bundle
from farnode.providers.port import Calls


def begun(number: int, **changes: Any) -> tuple[Machine, str]:
    """A machine with a pod in a runner, bound at 12 after a wait since 10."""
    machine = Machine(Rules())
    uid = str(uuid.UUID(int=number))
    document = {"metadata": {"name": "p", "uid": uid}, "spec": {"containers": [{"name": "main", "image": "b"}]}}
    machine.handle(s.Submitted(10.0, "alice", parse_bundle({"pod": document}), "process"))
    machine.handle(s.AllocationWanted(10.0, AllocationRequest("n", 1, 1, "/"), "main"))
    machine.handle(s.AllocationSubmitted(10.0, "n", "7"))
    machine.handle(s.RunnerConnected(11.0, "n", "i", "node", "7", {"gpus": []}, []))
    machine.handle(s.Bound(12.0, uid, "n"))
    return machine, uid


def event(uid: str, seq: int, **more: Any) -> s.RunnerEvents:
    return s.RunnerEvents(12.5, "n", "i", [{"seq": seq, "uid": uid, "attempt": 1, "at": 12.4, **more}])  # type: ignore[typeddict-item]


def test_the_bounds_include_themselves() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert list(histogram.cumulative()) == [("0.1", 2), ("1", 3), ("+Inf", 4)]
    assert (histogram.count, histogram.sum) == (4, pytest.approx(7.65))


def test_a_wait_and_a_start_are_seen_once() -> None:
    machine, uid = begun(1)
    timings = Timings(machine)
    for _ in range(2):
        timings.note([uid], 12.0)
    assert (timings.waits.count, timings.waits.sum) == (1, 2.0)
    machine.handle(event(uid, 1, phase="Running", started_at=12.3))
    for _ in range(2):
        timings.note([uid], 12.5)
    assert (timings.starts.count, timings.starts.sum) == (1, 0.5)
    machine.handle(event(uid, 2, phase="Succeeded", started_at=12.3, ended=True))
    timings.note([uid], 13.0)
    assert (timings.waits.count, timings.starts.count) == (1, 1)


def test_one_that_is_over_before_it_was_said_to_run_counts() -> None:
    machine, uid = begun(1)
    timings = Timings(machine)
    timings.note([uid], 12.0)
    machine.handle(event(uid, 1, phase="Succeeded", started_at=12.3, ended=True))
    timings.note([uid], 12.5)
    assert timings.starts.count == 1


def test_what_was_bound_before_a_restart_is_not_counted_again() -> None:
    machine, uid = begun(1)
    timings = Timings(machine)
    timings.load()
    timings.note([uid], 5000.0)
    machine.handle(event(uid, 1, phase="Running", started_at=12.3))
    timings.note([uid], 5001.0)
    assert (timings.waits.count, timings.starts.count) == (0, 0)
    assert not timings._bound


def test_nothing_is_kept_of_what_never_started() -> None:
    machine, uid = begun(1)
    timings = Timings(machine)
    timings.note([uid], 12.0)
    machine._save(replace(machine.pods[uid], stage=Stage.QUEUED, nonce=None))
    timings.note([uid], 13.0)
    timings.note(["gone"], 13.0)
    assert not timings._bound
    assert timings.starts.count == 0


def test_the_text() -> None:
    machine, _ = begun(1)
    calls = Calls(40, 4.0, 31.5, {"sbatch": 3, "squeue": 12}, 1)
    starts = Histogram(STARTS)
    starts.observe(0.02)
    seconds = {"alice": 1234567.25, 'o"\\\n': 1.0}
    figures = Figures(1, True, seconds, {"alice": 3.0}, calls, Histogram((1.0,)), starts)
    text = render(machine, figures)
    line = re.compile(r'(# (HELP|TYPE) .*|[a-z_]+(\{[a-z]+="([^"\\\n]|\\.)*"\})? -?[0-9.e+-]+)')
    assert [each for each in text.splitlines() if not line.fullmatch(each)] == []
    for wanted in (
        'farnode_pods{stage="bound"} 1',
        'farnode_pods_waiting{reason="room"} 0',
        'farnode_allocations{life="running"} 1',
        'farnode_node_seconds_total{owner="alice"} 1234567.25',
        'farnode_node_seconds_total{owner="o\\"\\\\\\n"} 1',
        'farnode_idle_node_seconds_total{owner="alice"} 3',
        'farnode_batch_calls_total{command="squeue"} 12',
        "farnode_batch_calls_left 31.5",
        "farnode_batch_calls_waiting 1",
        'farnode_queue_wait_seconds_bucket{le="+Inf"} 0',
        'farnode_pod_start_seconds_bucket{le="0.01"} 0',
        'farnode_pod_start_seconds_bucket{le="0.025"} 1',
        "farnode_pod_start_seconds_sum 0.02",
        "farnode_pod_start_seconds_count 1",
    ):
        assert wanted in text.splitlines()
    assert "batch_calls" not in render(machine, replace(figures, calls=None))
