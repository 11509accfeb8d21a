"""Owners: what one has at a site does not exist for another.

The model is a namespace's isolation: https://kubernetes.io/docs/concepts/security/multi-tenancy/#isolation
"""

from __future__ import annotations

import pytest

from farnode import Denied, FarnodeError, Invalid, NotFound
from tests.scenarios.observe import log
from tests.scenarios.stage import Scene, Stage, shell
from tests.scenarios.test_logs import HOLD, let_go


def strangers_see_nothing(stage: Stage) -> None:
    bob = stage.stranger
    pod = stage.submit([shell("private", f"echo secret; {HOLD}")])
    stage.running(pod)
    assert pod.uid not in {seen.uid for seen in bob.pods()}
    for attempt in (
        lambda: bob.pod(pod.uid),
        lambda: bob.pod("private"),
        lambda: log(bob, pod.uid, "main"),
        lambda: log(bob, pod.uid, "main", follow=True),
        lambda: bob.wait(pod.uid),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(FarnodeError) as refusal, bob.exec(pod.uid, ["cat", "/etc/passwd"], "main") as session:
        session.wait()
    assert isinstance(refusal.value, NotFound | Denied)
    assert bob.delete(pod.uid) == [{"uid": pod.uid, "verdict": "unknown"}]
    assert not stage.now(pod).deleting
    let_go(stage, pod.uid)
    assert stage.client.wait(pod).succeeded


def a_uid_cannot_be_taken(stage: Stage) -> None:
    """Somebody else's UID is refused; that it is somebody's may be learnt, nothing more."""
    document = shell("taken", "echo mine")
    pod = stage.submit([document])
    document["metadata"]["uid"] = pod.uid
    with pytest.raises(Invalid) as refusal:
        stage.stranger.submit(stage.fitted([document])[0])
    assert refusal.value.field == "metadata.uid"
    assert stage.client.wait(pod).succeeded
    assert log(stage.client, pod) == b"mine\n"


def events_are_the_owners(stage: Stage) -> None:
    """A stranger's stream tells nothing of a pod, while its owner's tells all."""
    pod = stage.client.wait(stage.submit([shell("unheard", "echo x")]))
    own = stage.stranger.run(stage.fitted([shell("heard", "echo y")])[0])
    events = stage.stranger.watch()
    heard = set()
    for event in events:
        heard.add(event["uid"])
        if own.uid in heard:
            break
    events.close()
    assert pod.uid not in heard


def strangers_may_not_stop_the_site(stage: Stage) -> None:
    with pytest.raises(Denied):
        stage.stranger.stop()
    with pytest.raises(Denied):
        stage.client.drain()


def a_wrong_token_opens_nothing(stage: Stage) -> None:
    answer = stage.site.call("GET", "/v1/pods", token="farnode_wrong")
    assert answer["error"]["code"] == "unauthenticated"


SCENES = [
    strangers_see_nothing,
    a_uid_cannot_be_taken,
    events_are_the_owners,
    strangers_may_not_stop_the_site,
    a_wrong_token_opens_nothing,
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_owners(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
