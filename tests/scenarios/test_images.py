"""Images that cannot be had: the pod waits and says why, and can be taken back.

https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
"""

from __future__ import annotations

import pytest

from farnode import Invalid, Pod
from tests.scenarios.observe import story
from tests.scenarios.stage import Scene, Stage, shell


def waiting(stage: Stage, name: str, image: str, *reasons: str, **container: str) -> Pod | None:
    """The pod when it waits for one of these reasons; None where the site has no images and has said so."""
    document = shell(name, "echo never", container={"image": image, **container})
    if "image" not in stage.capabilities:
        with pytest.raises(Invalid, match="has no container runtime") as refusal:
            stage.submit([document], fit=False)
        assert refusal.value.field == "spec.containers[0].image"
        return None

    def reason(pod: Pod) -> str:
        state = pod.container_statuses.get("main", {}).get("state", {})
        return str(state.get("waiting", {}).get("reason"))

    pod = stage.until(stage.submit([document]), lambda now: reason(now) in reasons, f"waits for {reasons}")
    assert pod.phase == "Pending"
    assert pod.container_statuses["main"]["state"]["waiting"]["message"], story(pod)
    stage.client.delete(pod)
    ended = stage.client.wait(pod)
    assert ended.phase == "Failed", story(ended)
    assert ended.attempt == 0
    return pod


def what_the_image_says(stage: Stage) -> None:
    """Its entry point, environment and directory hold where the pod says nothing else; then it is there."""
    if "image" not in stage.capabilities:
        return
    for policy, told in (("Always", "Successfully pulled image "), ("Never", "already present on machine")):
        container = {"image": "busybox:entry", "imagePullPolicy": policy, "args": ["given"]}
        document = shell(f"entry-{policy.lower()}", "", container=container)
        del document["spec"]["containers"][0]["command"]
        ended = stage.client.wait(stage.submit([document]))
        assert ended.phase == "Succeeded", story(ended)
        assert b"".join(stage.client.logs(ended)) == b"entry given\n"
        (pulled,) = (note["message"] for note in ended.notes if note["reason"] == "Pulled")
        assert told in pulled


def not_in_the_registry(stage: Stage) -> None:
    pod = waiting(stage, "no-such-image", "busybox:no-such-tag", "ImagePullBackOff")
    if pod is not None:
        assert pod.message.startswith('Back-off pulling image "'), story(pod)
        assert "no-such-tag: not found in the registry" in pod.message, story(pod)
        reasons = [note["reason"] for note in pod.notes]
        assert reasons[:5] == ["Pulling", "Failed", "Failed", "BackOff", "Failed"], story(pod)


def no_such_registry(stage: Stage) -> None:
    waiting(stage, "no-such-registry", "localhost:1/farnode/busybox:1", "ErrImagePull", "ImagePullBackOff")


def no_name_at_all(stage: Stage) -> None:
    pod = waiting(stage, "bad-image-name", "Not An Image!", "InvalidImageName")
    if pod is not None:
        assert "Not An Image!" in pod.message, story(pod)


def never_to_be_pulled(stage: Stage) -> None:
    waiting(stage, "never-pull", "busybox:never-seen", "ErrImageNeverPull", imagePullPolicy="Never")


SCENES = [what_the_image_says, not_in_the_registry, no_such_registry, no_name_at_all, never_to_be_pulled]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_images(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
