"""The driver in front of commands that fail in all the ways that real ones do."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farnode.errors import Invalid, Transient, Unreachable
from farnode.model.allocation import AllocationId, AllocationRequest, Cause, Phase, Refused
from farnode.providers.port import Site, SupportsCalls
from farnode.providers.slurm import SlurmProvider, command
from farnode.providers.slurm.states import SEPARATOR
from tests.providers.helpers import CONFIG, NO_ACCOUNTING, FakeTools, alive, request, until

pytestmark = pytest.mark.anyio
DEAD = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
DBD_DEAD = "sacct: error: Sending PersistInit msg: Connection refused\n"
IDS = [AllocationId("a", "1"), AllocationId("b", "2"), AllocationId("c")]


LIMIT = (
    'echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; echo "sbatch: error: Batch job submission failed: Job violates'
    " accounting/QOS policy (job submit limit, user's size and/or time limits)\" >&2; exit 1"
)


def alike(count: int) -> list[AllocationRequest]:
    return [request(f"b-{index}", directory=f"/spool/b-{index}") for index in range(count)]


def listed(job: str, name: str, state: str, reason: str = "None") -> str:
    return SEPARATOR.join((job, state, "2026-11-22T15:00:00", "N/A", "n1", reason, f"farnode-{name}")) + "\n"


# ---- submit ----------------------------------------------------------------------------------------------------------


async def test_each_request_is_one_sbatch(tools: FakeTools) -> None:
    answers = await tools.provider().submit([request(f"n{i}") for i in range(20)])
    assert [answer.nonce for answer in answers if isinstance(answer, AllocationId)] == [f"n{i}" for i in range(20)]
    assert len(tools.calls("sbatch")) == 20
    assert not tools.calls("scontrol"), "nothing was named that the inventory must have"


async def test_the_job_gets_its_environment_and_not_the_gateways(
    tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "gateways-own")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    tools.tool("sbatch", f"env -0 >{tools.root}/environment; echo 5")
    await tools.provider().submit([request(environment={"FARNODE_X": "a b\nc"})])
    pairs = (tools.root / "environment").read_text().split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs if pair)
    assert environment["FARNODE_X"] == "a b\nc"
    assert environment["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert "SBATCH_PARTITION" not in environment
    assert environment["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert os.environ["PATH"] != environment["PATH"]


async def test_a_bad_entry_spoils_no_other(tools: FakeTools) -> None:
    refusal = 'echo "sbatch: error: Batch job submission failed: Invalid qos specification" >&2; exit 1'
    tools.tool(
        "sbatch",
        f"""case $* in
        *farnode-hangs*) exec sleep 100;;
        *farnode-refused*) {refusal};;
        *farnode-noise*) echo "what is it?";;
        *farnode-killed*) kill -9 $$;;
        *farnode-dies*) echo 77; exit 3;;
        *) echo "Welcome!"; echo "quota: 99%" >&2; echo "12;h7";;
        esac""",
    )
    provider = tools.provider(commandTimeout=1)
    names = ["good", "hangs", "refused", "noise", "killed", "dies", "fine"]
    good, hangs, refused, noise, killed, dies, also = await provider.submit([request(name) for name in names])
    assert (good, also) == (AllocationId("good", "12"), AllocationId("fine", "12"))
    assert (hangs, noise, killed) == (AllocationId("hangs"), AllocationId("noise"), AllocationId("killed"))
    assert dies == AllocationId("dies", "77")
    assert isinstance(refused, Refused)


async def test_a_dead_controller_is_asked_only_once(tools: FakeTools) -> None:
    tools.says("sbatch", err=f"sbatch: error: Batch job submission failed: {DEAD}", code=1)
    with pytest.raises(Unreachable, match="does not answer"):
        await tools.provider().submit([request(f"n{i}") for i in range(50)])
    assert len(tools.calls("sbatch")) <= 8, "those at once; nobody after them"


async def test_a_controller_that_dies_in_between_leaves_the_rest_for_later(tools: FakeTools) -> None:
    tools.tool("sbatch", f'case $* in *farnode-n0*) echo 5;; *) echo "{DEAD.strip()}" >&2; exit 1;; esac')
    first, *others = await tools.provider().submit([request(f"n{i}") for i in range(3)])
    assert first == AllocationId("n0", "5")
    assert all(isinstance(other, Refused) and other.again for other in others)


async def test_what_the_inventory_lacks_is_refused_without_sbatch(tools: FakeTools) -> None:
    provider = tools.provider()
    wanted = [request("a", partition="main", account="p1"), request("b", partition="nope")]
    good, refused = await provider.submit(wanted)
    assert isinstance(good, AllocationId)
    assert refused == Refused("this account cannot use the partition 'nope' here: there are main")
    await provider.submit(wanted)
    assert len(tools.calls("scontrol")) == 3, "no new inventory for every wrong name"
    tools.clock.now += 301
    await provider.submit(wanted)
    assert len(tools.calls("scontrol")) == 5, "the configuration is known"


async def test_the_sites_account_is_named_where_a_request_names_none(tools: FakeTools) -> None:
    provider = tools.provider(account="p1", qos="normal")
    await provider.submit([request()])
    (call,) = tools.calls("sbatch")
    assert {"--account=p1", "--qos=normal"} <= set(call)


async def test_an_array_is_one_sbatch(tools: FakeTools) -> None:
    tools.tool("sbatch", "case $* in *--array*) echo 7;; *) echo 8;; esac")
    answers = await tools.provider().submit([*alike(300), request("alone")])
    assert answers == [*(AllocationId(f"b-{index}", f"7_{index}") for index in range(300)), AllocationId("alone", "8")]
    assert len(tools.calls("sbatch")) == 2


async def test_an_array_that_is_refused_for_its_size_is_halved(tools: FakeTools) -> None:
    tools.tool("sbatch", f"case $* in *--array=0-1[89]*|*--array=0-[4-9]*) {LIMIT};; *) echo 7;; esac")
    answers = await tools.provider().submit(alike(20))
    assert answers[:2] == [AllocationId("b-0", "7_0"), AllocationId("b-1", "7_1")]
    assert all(isinstance(answer, Refused) and answer.again for answer in answers[2:])
    arrays = [option for call in tools.calls("sbatch") for option in call if option.startswith("--array")]
    assert arrays == ["--array=0-19", "--array=0-9", "--array=0-4", "--array=0-1"]


async def test_halving_ends_with_one(tools: FakeTools) -> None:
    tools.tool("sbatch", LIMIT)
    answers = await tools.provider().submit(alike(1000))
    assert all(isinstance(answer, Refused) and answer.again for answer in answers)
    assert len(tools.calls("sbatch")) == 10


async def test_another_refusal_of_an_array_is_not_tried_again(tools: FakeTools) -> None:
    tools.says("sbatch", err="sbatch: error: Batch job submission failed: Requested partition not available\n", code=1)
    first, *others = await tools.provider().submit(alike(8))
    assert isinstance(first, Refused)
    assert others == [first] * 7
    assert len(tools.calls("sbatch")) == 1


async def test_a_half_that_nobody_confirms_is_found_by_its_name(tools: FakeTools) -> None:
    tools.tool("sbatch", f"case $* in *--array=0-3*) {LIMIT};; *) kill -9 $$;; esac")
    answers = await tools.provider().submit(alike(4))
    assert answers[:2] == [AllocationId("b-0"), AllocationId("b-1")]
    assert all(isinstance(answer, Refused) for answer in answers[2:])


async def test_the_sites_largest_array_is_known_once_it_was_asked(tools: FakeTools) -> None:
    tools.scontrol(config=CONFIG + "MaxArraySize = 3\n")
    provider = tools.provider()
    await provider.inventory()
    await provider.inventory()
    assert sum("config" in call for call in tools.calls("scontrol")) == 1
    answers = await provider.submit(alike(4))
    assert [option for call in tools.calls("sbatch") for option in call if option.startswith("--array")] == [
        "--array=0-2"
    ]
    assert all(isinstance(answer, AllocationId) for answer in answers)


async def test_calls_are_counted(tools: FakeTools) -> None:
    provider = tools.provider(burst=40, callsPerMinute=4)
    assert isinstance(provider, SupportsCalls)
    await provider.submit(alike(100))
    await provider.states([AllocationId("b-0", "7_0")])
    calls = provider.calls()
    assert calls.made == {"sbatch": 1, "squeue": 1, "scontrol": 1, "sacct": 1}
    assert (calls.burst, calls.per_minute, calls.waiting) == (40, 4, 0)
    assert 35.9 < calls.left < 36.5


# ---- states ----------------------------------------------------------------------------------------------------------


async def test_all_jobs_are_asked_for_in_one_call(tools: FakeTools) -> None:
    tools.says("squeue", "".join(listed(str(i), f"n{i}", "RUNNING") for i in range(500)), "*** banner ***\n")
    ids = [AllocationId(f"n{i}", str(i)) for i in range(500)]
    states = await tools.provider().states(ids)
    assert {state.phase for state in states.values()} == {Phase.RUNNING}
    assert len(tools.calls("squeue")) == 1
    assert not tools.calls("sacct")


async def test_what_the_controller_forgot_accounting_knows(tools: FakeTools) -> None:
    tools.says("squeue", listed("1", "a", "RUNNING"))
    past = listed("2", "b", "REQUEUED") + listed("2", "b", "CANCELLED by 1001")
    tools.says("sacct", past, "sacct: a banner\n")
    states = await tools.provider().states(IDS)
    assert states[IDS[0]].phase is Phase.RUNNING
    assert states[IDS[1]].cause is Cause.CANCELLED
    assert states[IDS[2]].phase is Phase.ABSENT
    (call,) = tools.calls("sacct")
    assert "--name=farnode-b,farnode-c" in call


async def test_without_accounting_what_is_gone_is_absent(tools: FakeTools) -> None:
    tools.scontrol(config=NO_ACCOUNTING)
    provider = tools.provider()
    for _ in range(3):
        states = await provider.states(IDS)
    assert {state.phase for state in states.values()} == {Phase.ABSENT}
    assert [states[each].fenced for each in IDS] == [False, False, True]
    assert not tools.calls("sacct")
    assert len(tools.calls("scontrol")) == 1


async def test_a_dead_accounting_leaves_what_the_controller_says(tools: FakeTools) -> None:
    tools.says("squeue", listed("1", "a", "RUNNING"))
    tools.says("sacct", err=DBD_DEAD, code=1)
    states = await tools.provider().states(IDS)
    assert states[IDS[0]].phase is Phase.RUNNING
    assert states[IDS[1]].phase is Phase.ABSENT
    assert "accounting fails" in states[IDS[1]].words


async def test_accounting_alone_keeps_nothing_alive(tools: FakeTools) -> None:
    """Its records outlive a crash of the controller that lost the job; but a job may also be new since squeue."""
    tools.says("sacct", listed("2", "b", "RUNNING") + listed("3", "c", "PENDING"))
    tools.tool("squeue", f"[ $(grep -c squeue $CALLS) = 1 ] || printf '%s' '{listed('3', 'c', 'PENDING')}'")
    states = await tools.provider().states(IDS)
    assert states[IDS[1]].phase is Phase.ABSENT
    assert not states[IDS[1]].fenced
    assert states[IDS[2]].phase is Phase.QUEUED


@pytest.mark.parametrize(
    "err",
    [
        DEAD,
        "slurm_load_jobs error: Socket timed out on send/recv operation\n",
        'squeue: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2": No such file\n',
    ],
)
async def test_a_controller_that_is_away_is_no_answer(tools: FakeTools, err: str) -> None:
    tools.says("squeue", err=err, code=1)
    with pytest.raises(Unreachable, match="squeue failed"):
        await tools.provider().states(IDS)
    with pytest.raises(Unreachable, match="squeue failed"):
        await tools.provider().cancel(IDS)


async def test_a_command_that_hangs_is_ended(tools: FakeTools) -> None:
    tools.tool("squeue", f"sleep 1000 & echo $! >{tools.root}/child; wait")
    with pytest.raises(Transient, match="squeue did not answer within 1 s"):
        await tools.provider(commandTimeout=1).states(IDS)
    child = int((tools.root / "child").read_text())
    await until(lambda: not alive(child))  # reaped by whoever inherited it


async def test_a_command_that_floods_is_ended(tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MAX_OUTPUT", 100_000)
    tools.tool("squeue", "exec yes")
    with pytest.raises(Transient, match="printed more than"):
        await tools.provider().states(IDS)


async def test_a_command_that_is_not_there(tools: FakeTools) -> None:
    (tools.root / "squeue").unlink()
    with pytest.raises(Transient, match="squeue cannot be started"):
        await tools.provider().states(IDS)
    site = Site("fake", tools.script, tools.root)
    with pytest.raises(Invalid, match="path: there is no squeue"):
        SlurmProvider.create({"path": str(tools.root)}, site)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(out=st.binary(max_size=200), err=st.binary(max_size=200), code=st.integers(0, 255))
async def test_whatever_is_printed_it_is_an_answer_or_transient(
    tools: FakeTools, out: bytes, err: bytes, code: int
) -> None:
    for tool in ("squeue", "sacct", "scontrol", "sacctmgr", "sbatch", "scancel"):
        tools.says(tool, code=code)
        (tools.root / f"{tool}.out").write_bytes(out)
        (tools.root / f"{tool}.err").write_bytes(err)
    provider = tools.provider()
    for call in (provider.states(IDS), provider.inventory(), provider.cancel(IDS), provider.submit([request()])):
        try:
            await call
        except Transient:
            continue


# ---- cancel ----------------------------------------------------------------------------------------------------------


async def test_one_job_or_array_is_cancelled_by_its_name(tools: FakeTools) -> None:
    await tools.provider().cancel([AllocationId("a", "1")])
    await tools.provider().cancel([AllocationId("b-1", "7_1"), AllocationId("b-0", "7_0")])
    assert tools.calls("scancel") == [["--name=farnode-a"], ["--name=farnode-b", "7_0", "7_1"]]
    assert not tools.calls("squeue")


@pytest.mark.parametrize("job", [None, "7"])
async def test_what_may_be_no_element_of_an_array_is_looked_up_first(tools: FakeTools, job: str | None) -> None:
    tools.says("squeue", listed("7", "b", "RUNNING"))
    await tools.provider().cancel([AllocationId("b-1", job)])
    assert tools.calls("scancel") == [["7"]]


async def test_cancelling_several_is_two_calls_and_hits_only_our_jobs(tools: FakeTools) -> None:
    tools.says("squeue", listed("1", "a", "RUNNING") + listed("2", "x", "RUNNING") + listed("9", "c", "PENDING"))
    await tools.provider().cancel(IDS)
    assert tools.calls("scancel") == [["1", "9"]], "2 is another job by now, 9 was found by its name"
    assert len(tools.calls("squeue")) == 1


async def test_nothing_to_cancel_is_fine(tools: FakeTools) -> None:
    tools.says("squeue", listed("1", "a", "COMPLETED"))
    await tools.provider().cancel(IDS)
    assert not tools.calls("scancel")


async def test_a_cancellation_that_did_not_arrive_is_told(tools: FakeTools) -> None:
    tools.says("squeue", listed("1", "a", "RUNNING"))
    tools.says("squeue", listed("1", "a", "RUNNING"))
    tools.says(
        "scancel", err="scancel: error: Kill job error on job id 1: Unable to contact slurm controller\n", code=8
    )
    with pytest.raises(Unreachable, match="scancel failed"):
        await tools.provider().cancel(IDS)
    tools.says("scancel", err="scancel: error: Kill job error on job id 1: Job/step already completing\n", code=1)
    await tools.provider().cancel(IDS)


# ---- inventory and estimate ------------------------------------------------------------------------------------------


async def test_the_inventory_knows_the_accounts(tools: FakeTools) -> None:
    (offer,) = await tools.provider().inventory()
    assert (offer.name, offer.accounts, offer.qos) == ("main.a100x4", ("p1",), ("normal",))


async def test_a_dead_accounting_keeps_what_was_known(tools: FakeTools) -> None:
    provider = tools.provider()
    before = await provider.inventory()
    tools.says("sacctmgr", err="sacctmgr: error: Sending PersistInit msg: Connection refused\n", code=1)
    assert await provider.inventory() == before
    with pytest.raises(Unreachable, match="sacctmgr failed"):
        await tools.provider().inventory()


async def test_users_who_may_not_ask_for_limits_have_none(tools: FakeTools) -> None:
    tools.says("sacctmgr", err="sacctmgr: error: Access/permission denied\n", code=1)
    (offer,) = await tools.provider().inventory()
    assert offer.accounts == ()


async def test_when_a_job_would_start(tools: FakeTools) -> None:
    soon = "sbatch: Job 34 to start at 2026-11-22T16:00:23 using 2 processors on nodes n[1-2] in partition main\n"
    tools.clock.now = 1_795_360_000.0
    tools.says("sbatch", err=f"Welcome!\n{soon}")
    (estimate,) = await tools.provider().estimate([request()])
    assert estimate.at == 1795363223.0
    tools.says("sbatch", err=soon.replace("2026", "2282"))
    (estimate,) = await tools.provider().estimate([request()])
    assert (estimate.at, bool(estimate.words)) == (None, True)
    tools.says("sbatch", err="allocation failure: Invalid partition name specified\n", code=1)
    first, second = await tools.provider().estimate([request(), request(partition="nope")])
    assert "no such partition" in first.words
    assert "'nope'" in second.words
    tools.says("sbatch", err=f"allocation failure: {DEAD}", code=1)
    with pytest.raises(Unreachable):
        await tools.provider().estimate([request()])
