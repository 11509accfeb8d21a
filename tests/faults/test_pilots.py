"""The life of pilots: shared by one owner's pods, given back, replaced, ended by their time, their node or somebody,
and found again by the next gateway. Each test has owners of its own, so none finds another's pilots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from farnode import Client, Pod
from tests.faults.sites import INSIDE, farnode, node_of
from tests.faults.testimony import Testimony, pod
from tests.faults.wrapped import Wrapped
from tests.sites import wait_until
from tests.sites.box import PROVIDER
from tests.testbed import SiteSpec, SlurmSite, free_index

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SETTINGS: Mapping[str, Any] = {
    "heartbeat": "2s",
    "fenceAfter": "10s",
    "settleAfter": "3s",
    "maxAttempts": 10,
    "runtimes": ["process"],
    "provider": {**PROVIDER},
    "pilots": {"idleAfter": "3s", "walltime": "60s"},
    "walltime": {"default": "10m", "margin": "10s"},
}
HOLD = "while [ ! -e {go} ]; do sleep 0.1; done"


@pytest.fixture(scope="module")
def site() -> Iterator[Wrapped]:
    """A node that dies is given up after some 10 s."""
    spec = SiteSpec(index=free_index(), slurmd_timeout=5, extra_conf=("MessageTimeout=3",))
    with SlurmSite(spec) as box, Wrapped(box, SETTINGS) as site:
        yield site


class Team:
    """An owner's pods, which hold until they are let go."""

    def __init__(self, site: Wrapped, owner: str) -> None:
        self.site, self.owner = site, owner
        self.client: Client = site.client(owner)
        self.testimony = Testimony(site.directory / f"{owner}.said", f"{INSIDE}/{owner}.said")
        self._go = f"{owner}.go"

    def submit(self, count: int, policy: str = "Never", walltime: str | None = None, brief: int = 0) -> list[Pod]:
        """`brief` others come with them and have ended when this returns: their room is free again."""
        script = self.testimony.script(HOLD.format(go=f"{INSIDE}/{self._go}"))
        scripts = [script] * count + ["true"] * brief
        documents = [
            pod(f"{self.owner}-{number}", script, policy, terminationGracePeriodSeconds=2)
            for number, script in enumerate(scripts)
        ]
        if walltime:
            for document in documents:
                document["metadata"]["annotations"]["farnode.io/walltime"] = walltime
        pods = self.client.submit(documents)
        assert all(self.client.wait(one).succeeded for one in pods[count:])
        return pods[:count]

    def running(self, pods: Sequence[Pod], attempt: int = 1) -> list[Pod]:
        """As they are when they all run."""

        def run() -> bool:
            return all((one.phase, one.attempt) == ("Running", attempt) for one in self.now(pods))

        wait_until(run, f"{self.owner}'s pods run in attempt {attempt}", 90)
        return self.now(pods)

    def now(self, pods: Sequence[Pod]) -> list[Pod]:
        return [self.client.pod(one) for one in pods]

    def node_of(self, pods: Sequence[Pod]) -> int:
        """The number of the one node they are all on."""
        (number,) = {node_of(self.client, one) for one in pods}
        return number

    def let_go(self) -> None:
        (self.site.directory / self._go).touch()

    def ends(self, pods: Sequence[Pod]) -> list[Pod]:
        ended = [self.client.wait(one) for one in pods]
        self.testimony.check()
        return ended

    def jobs(self) -> list[str]:
        """The ids of this owner's jobs that wait or run."""
        rows = [row.split("|") for row in self.site.queue("%i|%k")]
        return [job for job, comment in rows if comment.endswith(f"owner={self.owner}")]


@pytest.fixture
def team(site: Wrapped, request: pytest.FixtureRequest) -> Iterator[Team]:
    team = Team(site, request.node.name.removeprefix("test_").replace("_", "-"))
    with team.client:
        yield team


@pytest.fixture(scope="module")
def overdue(site: Wrapped) -> Iterator[tuple[Team, list[Pod]]]:
    """Pods that say they run for seconds, and do not keep it; begun before everything else, for it takes a minute."""
    team = Team(site, "late")
    with team.client:
        yield team, [*team.submit(2, "Never", "20s"), *team.submit(2, "OnFailure", "20s")]


def nonces(pods: Sequence[Pod]) -> set[str]:
    return {one.allocation["nonce"] for one in pods}


def check_lost(pods: Sequence[Pod], reason: str) -> None:
    for one in pods:
        conditions = {each["type"]: each["status"] for each in one.status.get("conditions", ())}
        seen = (one.phase, one.reason, conditions.get("DisruptionTarget"))
        assert seen == ("Failed", reason, "True"), one.status.get("message")


@pytest.mark.usefixtures("overdue")
def test_idle_pilots_are_given_back(site: Wrapped, team: Team) -> None:
    before = len(site.calls("scancel"))
    pods = team.running(team.submit(20))
    assert len(team.jobs()) == len(nonces(pods)) < 3, "so few pods need no more jobs"
    team.let_go()
    assert all(one.succeeded for one in team.ends(pods))
    wait_until(lambda: not team.jobs(), "its jobs are gone from the queue", 30)
    assert len(site.calls("scancel")) == before


def test_a_lost_pilot_is_replaced(site: Wrapped, team: Team) -> None:
    never, again = team.running(team.submit(3)), team.running(team.submit(3, "OnFailure"))
    first = nonces([*never, *again])
    for job in team.jobs():
        site.box.run("root", ["scancel", job])
    check_lost(team.ends(never), "RunnerLost")
    again = team.running(again, 2)
    assert not nonces(again) & first
    team.let_go()
    assert all((one.phase, one.attempt, one.restarts) == ("Succeeded", 2, 1) for one in team.ends(again))


def test_owners_are_apart(site: Wrapped, team: Team) -> None:
    other = Team(site, "somebody-else")
    with other.client:
        mine, theirs = team.submit(3), other.submit(3)
        mine, theirs = team.running(mine), other.running(theirs)
        assert not nonces(mine) & nonces(theirs)
        assert team.jobs()
        assert other.jobs()
        for one in (team, other):
            one.let_go()
        assert all(one.succeeded for one in [*team.ends(mine), *other.ends(theirs)])


def test_the_next_gateway_has_the_old_pilots(site: Wrapped, team: Team) -> None:
    pods = team.running(team.submit(5, brief=3))
    site.kill()
    site.start()
    submissions = len(site.calls("sbatch"))
    more = team.running(team.submit(3))
    assert nonces(more) <= nonces(pods)
    assert [one.attempt for one in team.now(pods)] == [1] * 5
    team.let_go()
    assert all(one.succeeded for one in team.ends([*pods, *more]))
    assert len(site.calls("sbatch")) == submissions


def test_drained_it_leaves_nothing(site: Wrapped, team: Team) -> None:
    pods = team.running(team.submit(4))
    farnode(site, "gateway", "drain")
    try:
        assert [one.phase for one in team.now(pods)] == ["Running"] * 4
        team.let_go()
        assert all(one.succeeded for one in team.ends(pods))
        wait_until(lambda: not team.jobs(), "its jobs are gone", 30)
    finally:
        farnode(site, "gateway", "undrain")


def test_the_end_of_a_pilots_time(overdue: tuple[Team, list[Pod]]) -> None:
    """Who says how long it runs and runs longer is ended with its pilot, in order; what may is run again."""
    team, pods = overdue
    never, again = pods[:2], pods[2:]
    check_lost(team.ends(never), "WalltimeExceeded")
    team.let_go()
    for one in team.ends(again):
        assert one.succeeded, one.view
        assert one.attempt == one.restarts + 1 > 1
    wait_until(lambda: not team.jobs(), "no job is left", 60)


def test_owners_share_where_the_site_says_so(site: Wrapped, team: Team) -> None:
    other = Team(site, "guest")
    site.stop()
    config = site.directory / "gateway.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "shareAcrossOwners": True}))
    site.start()
    with other.client:
        mine = team.running(team.submit(2, brief=2))
        theirs = other.running(other.submit(2))
        assert nonces(mine) == nonces(theirs)
        team.let_go()
        other.let_go()
        assert all(one.succeeded for one in [*team.ends(mine), *other.ends(theirs)])


def test_stopped_it_leaves_nothing(site: Wrapped, team: Team) -> None:
    team.running(team.submit(4))
    farnode(site, "gateway", "stop", "--all")
    wait_until(lambda: not site.queue("%i"), "no job is left", 60)
    wait_until(lambda: not site.processes(), "no process is left", 30)
    assert not team.testimony.finished()
    farnode(site, "gateway", "undrain")


def test_pods_of_a_node_that_dies(site: Wrapped, team: Team) -> None:
    """The last, for Slurm with so little patience may give up the other node too."""
    never, again = team.running(team.submit(2)), team.running(team.submit(2, "OnFailure"))
    number = team.node_of([*never, *again])
    site.box.power_off(number)
    try:
        check_lost(team.ends(never), "RunnerLost")
        again = team.running(again, 2)
    finally:
        site.box.power_on(number)
    team.let_go()
    assert all((one.phase, one.attempt) == ("Succeeded", 2) for one in team.ends(again))
