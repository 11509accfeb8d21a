"""Every file of `examples/pods`, run as it stands but for the registry its image comes from."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.scenarios.observe import log, story
from tests.scenarios.stage import Scene, Stage

DIRECTORY = Path(__file__).parents[2] / "examples" / "pods"
IMAGE = "docker.io/library/busybox:1.36"
SAYS = {
    "hello": r"hello from hello\n",
    "gpu": r"devices: \d+\n",
    "init-config-secret": r"5 numbers\nlayers = 3\na token of 17 characters\n",
    "retry": r"going on from step 1\n",
    "resources": r"2 cores and 512 MiB for project demo\n",
}


def play(name: str, stage: Stage) -> None:
    text = (DIRECTORY / f"{name}.yaml").read_text("utf-8").replace(IMAGE, stage.site.image("busybox:1"))
    pod = stage.client.wait(stage.submit(yaml.safe_load_all(text)))
    assert pod.succeeded, story(pod)
    assert re.fullmatch(SAYS[name], log(stage.client, pod).decode())


@pytest.mark.parametrize("scene", [partial(play, name) for name in SAYS], ids=list(SAYS))
def test_example(stage: Stage, scene: Scene) -> None:
    stage.play(scene)


def test_none_is_forgotten() -> None:
    assert {path.stem for path in DIRECTORY.iterdir()} == set(SAYS)
