"""Two pods of one owner on one node do not see each other through the paths a container has.

By force nothing keeps them apart: to the kernel they are one user. See the README, "Runtimes, and what they separate".
"""

from __future__ import annotations

import pytest

from tests.scenarios.observe import log, story
from tests.scenarios.stage import Json, Scene, Stage, shell, unique
from tests.scenarios.test_logs import HOLD, let_go

SEARCH = """
found() { text=$(cat); case "$text" in *"$ONE$TWO"*) echo "$1";; esac; }
cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | found environment
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | found command
grep -rs "$ONE$TWO" $PLACES 2>/dev/null | found files
echo "gpu $CUDA_VISIBLE_DEVICES"
"""


def on_one_node(stage: Stage, document: Json) -> Json:
    """With a GPU of a kind that only one node has."""
    nodes = stage.site.gpus.values()
    (model, *_) = [name for kinds in nodes for name in kinds if sum(name in other for other in nodes) == 1]
    document["metadata"]["annotations"] = {"farnode.io/gpu-model": model}
    document["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": 1}}
    return document


def two_pods_are_apart(stage: Stage) -> None:
    token = f"to{unique()}ken"
    keeper = shell(
        "keeper",
        f"echo {token} | tee /tmp/mine /dev/shm/mine > $HOME/mine; echo gpu $CUDA_VISIBLE_DEVICES; {HOLD}; rm /tmp/m*",
        container={
            "env": [{"name": "TOKEN", "value": token}],
            "volumeMounts": [{"name": "secret", "mountPath": "/secret"}],
        },
        volumes=[{"name": "secret", "secret": {"secretName": "hidden"}}],
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"key": token}}
    first = stage.submit([on_one_node(stage, keeper), secret])
    stage.until(first, lambda now: now.phase == "Running" and b"gpu" in log(stage.client, now), "keeps")
    half = len(token) // 2
    places = "/tmp /var/tmp /dev/shm /secret /home /root" if "isolation" in stage.capabilities else "$HOME"
    env = [{"name": "ONE", "value": token[:half]}, {"name": "TWO", "value": token[half:]}]
    env.append({"name": "PLACES", "value": places})
    second = stage.client.wait(stage.submit([on_one_node(stage, shell("seeker", SEARCH, container={"env": env}))]))
    let_go(stage, first.uid)
    first = stage.client.wait(first)
    assert first.allocation["nodes"] == second.allocation["nodes"], story(second)
    found, gpu = log(stage.client, second).decode().rpartition("gpu ")[::2]
    assert gpu.strip() not in ("", log(stage.client, first).decode().split()[-1])
    if "isolation" in stage.capabilities:
        assert found == "", story(second)
    else:
        assert "environment" in found.split()  # as the README says


SCENES = [two_pods_are_apart]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_isolation(stage: Stage, scene: Scene) -> None:
    stage.play(scene)
