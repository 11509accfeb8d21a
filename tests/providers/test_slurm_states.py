"""squeue's and sacct's answers as states, and every code in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.model.allocation import AllocationId, Cause, Phase
from farnode.providers.slurm import states
from farnode.providers.slurm.hostlist import MOST, expand
from farnode.providers.slurm.states import SEPARATOR, describe, epoch, reason_words
from farnode.providers.slurm.words import STATES, state_row

NOW = 1_795_360_000.0  # 2026-11-22T15:06:40Z
CODES = (Path(__file__).parent / "reasons.txt").read_text().split()
ALL_STATES = (Path(__file__).parent / "states.txt").read_text().split()


def line(
    job: str = "7",
    state: str = "PENDING",
    reason: str = "None",
    *,
    name: str = "farnode-a",
    submitted: str = "2026-11-22T15:00:00",
    start: str = "N/A",
    nodes: str = "",
) -> str:
    return SEPARATOR.join((job, state, submitted, start, nodes, reason, name)) + "\n"


def one(text: str) -> states.Job:
    (job,) = states.parse(text)
    return job


def test_a_pending_job() -> None:
    state = describe(one(line(reason="Resources", start="2026-11-22T16:11:41")), NOW)
    assert (state.phase, state.job, state.reason) == (Phase.QUEUED, "7", "Resources")
    assert "waits for nodes" in state.words
    assert state.expected_start == 1795363901.0


@pytest.mark.parametrize("start", ["N/A", "(null)", "Unknown", "", "2282-01-31T10:00:00", "soon"])
def test_a_start_slurm_cannot_say(start: str) -> None:
    assert epoch(start, NOW) is None


def test_banners_and_other_jobs_are_passed_over() -> None:
    others = line("8", name="mine") + line("9_[1-5]") + line("9_")
    text = "Welcome! 7|~|jobs\n\n" + line() + others + "slurm_load_jobs: odd\n"
    assert [job.id for job in states.parse(text)] == ["7"]


def test_the_newest_incarnation_counts() -> None:
    jobs = states.Jobs(
        states.parse(
            line("900", "COMPLETED", submitted="2026-11-22T15:00:01")
            + line("12", "RUNNING", submitted="2026-11-22T15:00:09")
            + line("11", "FAILED", submitted="2026-11-22T15:00:09")
        )
    )
    found = jobs.find(AllocationId("a"))
    assert found is not None
    assert found.id == "12", "by time, and of the same second by number"


def test_an_id_of_another_job_is_not_ours() -> None:
    jobs = states.Jobs(states.parse(line("7", name="farnode-b")))
    assert jobs.find(AllocationId("a", "7")) is None


def test_a_known_job_is_found_among_others_of_its_name() -> None:
    jobs = states.Jobs(states.parse(line("7", "RUNNING") + line("8", submitted="2026-11-22T15:00:01")))
    found = jobs.find(AllocationId("a", "7"))
    assert found is not None
    assert found.id == "7"


def test_elements_of_an_array_are_found_by_name_and_index() -> None:
    text = line("7_0", "RUNNING") + line("7_1") + line("9_1", submitted="2026-11-22T15:00:01") + line("12", name="mine")
    jobs = states.Jobs(states.parse(text))
    found = [jobs.find(AllocationId(nonce, job)) for nonce, job in (("a-0", None), ("a-1", None), ("a-1", "7_1"))]
    assert [job.id if job else None for job in found] == ["7_0", "9_1", "7_1"]
    assert jobs.find(AllocationId("a-2", "7_2")) is None
    assert jobs.find(AllocationId("a")) is None


def test_what_of_an_array_was_cancelled_while_it_waited_is_listed_as_one() -> None:
    """Seen with 24.11: the pending rest of array 7, and of array 9 that is another's by now."""
    jobs = states.Jobs(states.parse(line("7_0", "RUNNING") + line("7", "CANCELLED")))
    for nonce, job, state in (("a-0", "7_0", "RUNNING"), ("a-1", "7_1", "CANCELLED")):
        found = jobs.find(AllocationId(nonce, job))
        assert found is not None
        assert (found.id, found.state) == (job, state)
    assert jobs.find(AllocationId("a-1", "9_1")) is None


def test_every_node_of_a_job_is_that_job() -> None:
    jobs = states.Jobs(states.parse(line("7", "RUNNING", nodes="n[1-2]")))
    for allocation in (AllocationId("a-0", "7"), AllocationId("a-1"), AllocationId("a-1", "7")):
        found = jobs.find(allocation)
        assert found is not None
        assert (found.id, found.state) == ("7", "RUNNING")
    assert jobs.find(AllocationId("a-1", "8")) is None


def test_the_past_is_asked_for_by_the_names_of_jobs() -> None:
    argv = states.sacct([AllocationId("a-0", "7_0"), AllocationId("a-1", "7_1"), AllocationId("b")])
    assert "--name=farnode-a,farnode-a-0,farnode-a-1,farnode-b" in argv


@pytest.mark.parametrize("code", ALL_STATES)
def test_every_state_has_a_row(code: str) -> None:
    row = STATES[code]
    assert (row.cause is not None) is (row.phase is Phase.ENDED)
    assert row.words


def test_no_state_is_made_up() -> None:
    assert set(STATES) == set(ALL_STATES)


@pytest.mark.parametrize(
    ("state", "phase", "cause", "fenced"),
    [
        ("CANCELLED by 1001", Phase.ENDED, Cause.CANCELLED, True),
        ("NODE_FAIL", Phase.ENDED, Cause.NODE_FAILURE, False),
        ("PREEMPTED", Phase.ENDED, Cause.PREEMPTED, True),
        ("TIMEOUT", Phase.ENDED, Cause.WALLTIME, True),
        ("OUT_OF_MEMORY", Phase.ENDED, Cause.OUT_OF_MEMORY, True),
        ("COMPLETING", Phase.RUNNING, None, True),
        ("SUSPENDED", Phase.RUNNING, None, True),
        ("REQUEUED", Phase.QUEUED, None, True),
        ("CONFIGURING", Phase.QUEUED, None, True),
    ],
)
def test_states_that_matter(state: str, phase: Phase, cause: Cause | None, fenced: bool) -> None:
    got = describe(one(line(state=state)), NOW)
    assert (got.phase, got.cause, got.fenced) == (phase, cause, fenced)


def test_an_unknown_state_is_said_to_be_unknown() -> None:
    row = state_row("HIBERNATING")
    assert row.phase is Phase.RUNNING, "nothing may be given up for a word nobody knows"
    assert "HIBERNATING" in row.words


@pytest.mark.parametrize("code", CODES)
def test_every_reason_has_words(code: str) -> None:
    words = reason_words(code)
    assert code not in words
    assert not words.startswith("Slurm says")


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("ReqNodeNotAvail, UnavailableNodes:n2", "(UnavailableNodes:n2)"),
        ("ReqNodeNotAvail, May be reserved for other job", "(May be reserved for other job)"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "all nodes that would fit are down",
        ),
        ("JobHeldUser", "scontrol release"),
        ("JobHeldAdmin", "administrator"),
        ("PartitionTimeLimit", "never start"),
        ("QOSMinGRES", "never start"),
        ("AssocGrpGRES", "GPUs"),
        ("QOSMaxJobsPerUserLimit", "running jobs"),
        ("AssocMaxWallDurationPerJobLimit", "time than one job may have"),
        ("TheMoonIsFull", "Slurm says: TheMoonIsFull"),
    ],
)
def test_reasons_in_words(reason: str, part: str) -> None:
    assert part in describe(one(line(reason=reason)), NOW).words


def test_an_end_carries_its_reason() -> None:
    state = describe(one(line(state="FAILED", reason="NonZeroExitCode", nodes="n1")), NOW)
    assert state.reason == "NonZeroExitCode"
    assert "ended with an error" in state.words
    assert state.nodes == ("n1",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("(null)", ()),
        ("None assigned", ()),
        ("n1", ("n1",)),
        ("n[1-3,7],gpu01", ("n1", "n2", "n3", "n7", "gpu01")),
        ("n[08-11]", ("n08", "n09", "n10", "n11")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("n[a-b]", ("n[a-b]",)),
    ],
)
def test_lists_of_nodes(text: str, names: tuple[str, ...]) -> None:
    assert expand(text) == names


def test_a_huge_list_of_nodes_is_cut() -> None:
    assert len(expand("n[0-999999999]")) == MOST


FIELD = st.text(st.characters(exclude_characters="\n"), max_size=20)
LINES = st.lists(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD, FIELD, FIELD).map(SEPARATOR.join)).map("\n".join)


@given(LINES | st.text(), st.sampled_from(["a", ""]))
def test_noise_is_never_more_than_no_answer(text: str, nonce: str) -> None:
    for job in states.parse(text + "\n" + line(state=text[:9], reason=text[:9], nodes=text[-9:])):
        describe(job, NOW)
    states.Jobs(states.parse(text)).find(AllocationId(nonce))


@given(st.text(st.sampled_from("n[]-,09"), max_size=30))
def test_any_list_of_nodes_is_read(text: str) -> None:
    assert len(expand(text)) <= MOST
