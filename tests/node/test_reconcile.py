"""Both sides of a node as they could be at any moment: what is decided loses no pod, runs none twice, ends none that is
wanted. The API server and the site are a few lines each here; the decisions are the real ones."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Pool
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from farnode.node import reconcile
from farnode.node.mirror import Held, Mirror
from farnode.node.reconcile import Terms, decide

Json = dict[str, Any]
NODE = "far"
OVER = ("Succeeded", "Failed")


def view_of(pod: Json, phase: str, attempt: int) -> Json:
    """What a site says of a pod with one container."""
    states: dict[str, Json] = {
        "Pending": {"waiting": {"reason": "ContainerCreating"}},
        "Running": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        "Succeeded": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T00:00:00Z"}},
        "Failed": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z"}},
    }
    container = {"name": "main", "image": "i", "imageID": "", "ready": phase == "Running", "restartCount": 0}
    status: Json = {"phase": phase, "containerStatuses": [{**container, "state": states[phase], "lastState": {}}]}
    if attempt:
        status["startTime"] = "2026-01-01T00:00:00Z"
    metadata = pod["metadata"]
    return {
        "uid": metadata["uid"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "node": NODE,
        "attempt": attempt,
        "deleting": False,
        "ended": phase in OVER,
        "status": status,
        "notes": [],
    }


class Cluster(RuleBasedStateMachine):
    """News of both sides come late, but in order; the node's process may be replaced by a new one at any time."""

    pods = Pool("pods")

    @initialize()
    def begin(self) -> None:
        self.clock, self.lost = 1000.0, False
        self.numbers = itertools.count(1)
        self.api: dict[str, Json] = {}
        self.site: dict[str, Json] = {}
        self.begun: dict[str, int] = {}
        self.refused: set[str] = set()
        self.removed: set[str] = set()
        self.news_of_api: list[tuple[str, Json]] = []
        self.news_of_site: list[tuple[str, Any]] = []
        self.restart()

    # ---- the world -----------------------------------------------------------------------------------------------

    def _changed(self, pod: Json) -> None:
        pod["metadata"]["resourceVersion"] = str(next(self.numbers))
        self.news_of_api.append(("put", copy.deepcopy(pod)))

    def _say(self, view: Json) -> None:
        self.site[view["uid"]] = view
        self.news_of_site.append(("put", copy.deepcopy(view)))

    def _take_out(self, uid: str) -> None:
        pod = self.api.pop(uid)
        self.removed.add(uid)
        self.news_of_api.append(("gone", copy.deepcopy(pod)))

    @precondition(lambda self: len(self.api) < 2)
    @rule(target=pods, refused=st.booleans(), owner=st.sampled_from(["", "ReplicaSet", "Job"]), finalizer=st.booleans())
    def create(self, refused: bool, owner: str, finalizer: bool) -> str:
        uid = f"00000000-0000-0000-0000-{next(self.numbers):012d}"
        metadata: Json = {"uid": uid, "name": f"p{uid[-4:]}", "namespace": "ns"}
        if finalizer:
            metadata["finalizers"] = ["example.org/f"]
        if owner:
            metadata["ownerReferences"] = [{"kind": owner, "apiVersion": "v1", "controller": True, "name": "o"}]
        spec = {"nodeName": NODE, "containers": [{"name": "main", "image": "i"}]}
        self.api[uid] = {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        if refused:
            self.refused.add(uid)
        self._changed(self.api[uid])
        return uid

    @rule(uid=pods, grace=st.sampled_from([1, 30]))
    def ask_to_delete(self, uid: str, grace: int) -> None:
        if uid in self.api:
            self._mark(self.api[uid], grace)

    def _mark(self, pod: Json, grace: int) -> None:
        grace = min(grace, pod["metadata"].get("deletionGracePeriodSeconds", grace))
        pod["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
        self._changed(pod)

    @rule(uid=pods)
    def remove_by_force(self, uid: str) -> None:
        if uid in self.api:
            self._delete(uid)

    def _delete(self, uid: str) -> None:
        """With a grace of 0: at once, but for finalizers."""
        if self.api[uid]["metadata"].get("finalizers"):
            self._mark(self.api[uid], 0)
        else:
            self._take_out(uid)

    @rule(uid=pods)
    def finalize(self, uid: str) -> None:
        if uid in self.api and self.api[uid]["metadata"].pop("finalizers", None):
            self._changed(self.api[uid])
            if self.api[uid]["metadata"].get("deletionGracePeriodSeconds") == 0:
                self._take_out(uid)

    @rule(uid=pods)
    def progress(self, uid: str) -> None:
        """The site goes on with a pod: it starts, then it ends."""
        view = self.site.get(uid)
        if view is None or view["ended"]:
            return
        if not view["attempt"]:
            self.begun[uid] = self.begun.get(uid, 0) + 1
            assert self.begun[uid] == 1, "it runs twice"
            self._say({**view_of(self._of(uid), "Running", 1), "deleting": view["deleting"]})
        else:
            self._say(view_of(self._of(uid), "Failed" if view["deleting"] else "Succeeded", 1))
        if self.site[uid]["ended"] and view.get("purge"):
            self._purge(uid)

    def _of(self, uid: str) -> Json:
        return {"metadata": {"uid": uid, "name": f"p{uid[-4:]}", "namespace": "ns"}}

    def _purge(self, uid: str) -> None:
        del self.site[uid]
        self.news_of_site.append(("gone", uid))

    @rule(uid=pods)
    def site_forgets(self, uid: str) -> None:
        """Somebody removed its record there, after the API server was told that it runs: not even a node that was away
        all the while could know otherwise."""
        if uid in self.site and (uid not in self.api or self.api[uid]["status"]["phase"] != "Pending"):
            self._purge(uid)

    @rule(uid=pods)
    def site_changes(self, uid: str) -> None:
        """Now it would take what it refused."""
        self.refused.discard(uid)
        entry = self.mirror.entries.get(uid)
        if entry is not None and entry.held is not None:
            entry.held = None

    # ---- the node ------------------------------------------------------------------------------------------------

    @rule()
    def restart(self) -> None:
        """All that a new process knows is two lists."""
        self.mirror = Mirror(NODE)
        self.news_of_api, self.news_of_site = [], []
        self.mirror.list_pods(copy.deepcopy(list(self.api.values())), self.clock)
        self.mirror.list_views(copy.deepcopy(list(self.site.values())), self.clock)  # type: ignore[arg-type]

    @rule()
    def hear_all(self) -> None:
        while self.news_of_api:
            self.hear_api()
        while self.news_of_site:
            self.hear_site()

    @rule()
    def hear_api(self) -> None:
        if self.news_of_api:
            kind, pod = self.news_of_api.pop(0)
            if kind == "put":
                self.mirror.put_pod(pod, self.clock)
            else:
                self.mirror.remove_pod(pod)

    @rule()
    def hear_site(self) -> None:
        if self.news_of_site:
            kind, what = self.news_of_site.pop(0)
            if kind == "put":
                self.mirror.put_view(what, self.clock)
            else:
                self.mirror.remove_view(what)

    @rule(uid=pods, seconds=st.sampled_from([0.0, 2.0, 40.0]), most=st.integers(1, 5), lost=st.booleans())
    def attend(self, uid: str, seconds: float, most: int, lost: bool) -> None:
        """Some steps for one pod. `lost`: the site takes what it is offered, but its answer does not arrive."""
        self.clock += seconds
        self.lost = lost
        for _ in range(most):
            entry = self.mirror.entries.get(uid)
            if entry is None or not self._do(uid, decide(entry, True, True, Terms(600), self.clock)):
                break

    def _do(self, uid: str, step: reconcile.Step) -> bool:
        """Whether anything was done."""
        entry, pod = self.mirror.entries[uid], self.api.get(uid)
        match step:
            case reconcile.Wait():
                return False
            case reconcile.Forget():
                self.mirror.forget(uid)
            case reconcile.Offer():
                self._offer(uid)
            case reconcile.Publish(body) | reconcile.Tolerate(body):
                if pod is None:
                    self.mirror.remove_pod(self._of(uid))
                else:
                    self._write(pod, body)
                if isinstance(step, reconcile.Tolerate):
                    entry.tolerates = True
            case reconcile.Update():
                entry.stale_inputs, entry.inputs_known = False, True
            case reconcile.End(_, purge):
                assert pod is None or "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] in OVER
                entry.ended_by.append(step.grace)
                entry.purged = entry.purged or purge
                self._end(uid, purge)
            case reconcile.Remove():
                self._remove(uid)
            case reconcile.Confirm():
                if pod is None:
                    entry.gone = True
                else:
                    self.mirror.put_pod(copy.deepcopy(pod), self.clock)
        return True

    def _remove(self, uid: str) -> None:
        assert uid not in self.site or self.site[uid]["ended"], "something of it runs"
        if (pod := self.api.get(uid)) is not None:
            assert "deletionTimestamp" in pod["metadata"]
            assert pod["status"]["phase"] in OVER
            assert pod["metadata"]["deletionGracePeriodSeconds"] or not pod["metadata"].get("finalizers"), "again"
            self._delete(uid)
        if uid in self.api:
            self.mirror.put_pod(copy.deepcopy(self.api[uid]), self.clock)
        else:
            self.mirror.remove_pod(self._of(uid))

    def _offer(self, uid: str) -> None:
        entry = self.mirror.entries[uid]
        if uid in self.refused:
            entry.held = Held("SiteRefused", "no", self.clock + 300, refused=True)
            return
        if uid not in self.site:
            self._say(view_of(self._of(uid), "Pending", 0))
        if self.lost:
            entry.unsure, entry.held = True, Held("ContainerCreating", "the site is away", self.clock + 5)
        else:
            entry.unsure, entry.offered, entry.held = False, True, None

    def _write(self, pod: Json, body: Json) -> None:
        """As the API server merges: enough of it for what is written here."""
        before = pod["status"]["phase"]
        for key, value in body.get("status", {}).items():
            if value is None:
                pod["status"].pop(key, None)
            elif not key.startswith("$"):
                pod["status"][key] = value
        assert before not in OVER or pod["status"]["phase"] == before, "a step back"
        pod["spec"] |= {key: value for key, value in body.get("spec", {}).items() if not key.startswith("$")}
        self._changed(pod)
        self.mirror.put_pod(copy.deepcopy(pod), self.clock)

    def _end(self, uid: str, purge: bool) -> None:
        view, entry = self.site.get(uid), self.mirror.entries[uid]
        entry.offered, entry.unsure = entry.offered or entry.unsure, False
        if view is None:
            self.mirror.remove_view(uid)
        elif view["ended"] and purge:
            self._purge(uid)
        elif not view["ended"]:
            ended = {**view_of(self._of(uid), "Failed", view["attempt"]), "deleting": True}
            going = {**view, "deleting": True, "purge": purge or view.get("purge", False)}
            changed = going if view["attempt"] else ended
            self._say(changed)
            if changed["ended"] and purge:
                self._purge(uid)

    # ---- what holds ----------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """When all has been heard and done, both sides agree."""
        self.lost = False
        for uid in list(self.api):
            self.finalize(uid)
        for uid in list(self.site):
            for _ in range(3):
                self.progress(uid)
        for _ in range(50):
            while self.news_of_api:
                self.hear_api()
            while self.news_of_site:
                self.hear_site()
            self.clock += 1000
            busy = [uid for uid in list(self.mirror.entries) if self._settle(uid)]
            for uid in list(self.site):
                self.progress(uid)
            if not busy and not self.news_of_api and not self.news_of_site:
                break
        else:
            raise AssertionError("it never comes to rest")
        for uid, pod in self.api.items():
            assert "deletionTimestamp" not in pod["metadata"], "it is never removed"
            if uid in self.site:
                assert pod["status"]["phase"] == self.site[uid]["status"]["phase"]
            else:
                assert pod["status"]["phase"] in OVER or uid in self.refused
        assert set(self.site) <= set(self.api), "something is left at the site"

    def _settle(self, uid: str) -> bool:
        entry = self.mirror.entries[uid]
        step = decide(entry, True, True, Terms(600), self.clock)
        if isinstance(step, reconcile.Offer) and uid in self.refused and entry.held is not None:
            return False
        return self._do(uid, step)


Cluster.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
test_cluster = Cluster.TestCase


def world(**status: Any) -> tuple[Mirror, Json]:
    """A node with one pod of this status."""
    pod: Json = {
        "metadata": {"uid": "u1", "name": "p", "namespace": "ns", "resourceVersion": "7"},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "i"}]},
        "status": {"phase": "Pending", **status},
    }
    mirror = Mirror(NODE)
    mirror.list_pods([copy.deepcopy(pod)], 0.0)
    return mirror, pod


def next_step(mirror: Mirror, now: float = 0.0, site_known: bool = True) -> reconcile.Step:
    return decide(mirror.entries["u1"], mirror.api_known, site_known, Terms(600), now)


def test_what_ran_and_was_forgotten_has_failed() -> None:
    running = {"name": "main", "state": {"running": {}}, "ready": True, "restartCount": 0, "image": "i", "imageID": ""}
    mirror, _ = world(phase="Running", containerStatuses=[running])
    mirror.list_views([], 0.0)
    step = next_step(mirror)
    assert isinstance(step, reconcile.Publish)
    assert (step.patch["status"]["phase"], step.patch["status"]["reason"]) == ("Failed", "NotFoundAtSite")


def test_nothing_is_decided_before_the_site_was_heard() -> None:
    mirror, _ = world()
    assert next_step(mirror, site_known=False) == reconcile.Wait()


def test_a_status_that_only_waits_is_told_late_and_what_runs_at_once() -> None:
    mirror, pod = world()
    mirror.list_views([], 0.0)
    assert next_step(mirror) == reconcile.Offer()
    mirror.put_view(view_of(pod, "Pending", 0), 0.0)  # type: ignore[arg-type]
    assert next_step(mirror) == reconcile.Wait(reconcile.SETTLE)
    assert isinstance(next_step(mirror, reconcile.SETTLE), reconcile.Publish)
    mirror.put_view(view_of(pod, "Running", 1), 0.0)  # type: ignore[arg-type]
    assert isinstance(next_step(mirror), reconcile.Publish)


def test_what_is_missing_from_a_list_is_asked_for_by_uid() -> None:
    mirror, pod = world()
    mirror.list_views([view_of(pod, "Running", 1)], 0.0)  # type: ignore[list-item]
    mirror.list_pods([], 1.0)
    assert next_step(mirror) == reconcile.Confirm()
    mirror.entries["u1"].gone = True
    assert next_step(mirror) == reconcile.End(0, purge=True)


def test_pods_of_others_at_the_site_are_none_of_ours() -> None:
    mirror, pod = world()
    mirror.list_views([view_of(pod, "Running", 1) | {"node": "another"}], 0.0)  # type: ignore[list-item]
    assert next_step(mirror) == reconcile.Offer()


def test_the_grace_of_a_deletion_may_become_shorter() -> None:
    mirror, pod = world(phase="Running")
    mirror.list_views([view_of(pod, "Running", 1)], 0.0)  # type: ignore[list-item]
    for grace, version in ((30, "8"), (1, "9")):
        pod["metadata"] |= {"deletionTimestamp": "x", "deletionGracePeriodSeconds": grace, "resourceVersion": version}
        mirror.put_pod(copy.deepcopy(pod), 1.0)
        assert next_step(mirror) == reconcile.End(grace)
        mirror.entries["u1"].ended_by.append(grace)
        assert not isinstance(next_step(mirror), reconcile.End)


def test_what_the_site_refuses_fails_or_waits_where_it_would_be_replaced_for_ever() -> None:
    mirror, pod = world()
    mirror.list_views([], 0.0)
    mirror.entries["u1"].held = Held("SiteRefused", "no GPUs here", 300.0, refused=True)
    step = next_step(mirror, 10.0)
    assert isinstance(step, reconcile.Publish)
    assert (step.patch["status"]["phase"], step.patch["status"]["message"]) == ("Failed", "no GPUs here")
    pod["metadata"] |= {
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "x", "controller": True}
        ],
        "resourceVersion": "8",
    }
    mirror.put_pod(pod, 0.0)
    step = next_step(mirror, 10.0)
    assert isinstance(step, reconcile.Publish)
    assert step.patch["status"].get("phase", "Pending") == "Pending"
    assert next_step(mirror, 300.0) == reconcile.Offer()


def test_what_has_no_grace_left_is_the_api_servers_to_remove() -> None:
    mirror, pod = world(phase="Succeeded")
    mirror.list_views([], 0.0)
    pod["metadata"] |= {
        "deletionTimestamp": "1970-01-01T00:01:00Z",
        "deletionGracePeriodSeconds": 0,
        "resourceVersion": "8",
    }
    mirror.put_pod(copy.deepcopy(pod), 60.0)
    assert next_step(mirror, 60.0) == reconcile.Wait(60.0 + reconcile.REMOVES_ITSELF)
    assert next_step(mirror, 70.0) == reconcile.Remove()
