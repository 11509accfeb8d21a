"""Hands the demo's pods over, follows them to their ends, and compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.resources import files

import anyio

from farnode.cli.attended import view_for
from farnode.cli.demo.cases import CASES, Case
from farnode.cli.manifest import annotated
from farnode.cli.views import View
from farnode.client import intake
from farnode.client.aio import AsyncClient
from farnode.client.intake import Document
from farnode.client.pod import Pod
from farnode.errors import FarnodeError

_TIDY = 10.0
"""Seconds the site has to take the deletes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    case: Case
    got: str
    well: bool


async def run(client: AsyncClient, settings: Mapping[str, str]) -> list[Verdict]:
    """One verdict per case; `settings` are farnode.io/ annotations for every pod. The pods are purged afterwards."""
    submitted = await client.submit([annotated(document, settings) for document in _documents()])
    try:
        with view_for(len(submitted), logs=False) as view:
            ended = await _follow(client, submitted, view)
        return [await _judge(client, case, ended[case.name]) for case in CASES]
    finally:
        with anyio.move_on_after(_TIDY, shield=True):  # after Ctrl-C too
            await client.delete(submitted, grace=0, purge=True)


def _documents() -> list[Document]:
    text = files("farnode.cli.demo").joinpath("pods.yaml").read_text("utf-8")
    return intake.read(text)


async def _follow(client: AsyncClient, submitted: Sequence[Pod], view: View) -> dict[str, Pod]:
    """The pods by name, ended; those to be deleted are, once their container runs."""
    pods = {pod.uid: pod for pod in submitted}
    to_delete = {case.name for case in CASES if case.delete}
    view.show(submitted)
    async with aclosing(client.watch()) as events:
        async for event in events:
            if event["uid"] not in pods or event["type"] == "gone":
                continue
            pod = pods[event["uid"]] = Pod(event["pod"])
            view.show([pod])
            if pod.name in to_delete and pod.phase == "Running" and await _wrote(client, pod, "ready"):
                to_delete.discard(pod.name)
                await client.delete(pod)
            if all(pod.ended for pod in pods.values()):
                break
    return {pod.name: pod for pod in pods.values()}


async def _wrote(client: AsyncClient, pod: Pod, word: str) -> bool:
    """Follows its log until the word is there, or the log ends."""
    log = b""
    async with aclosing(client.logs(pod, "main", follow=True)) as chunks:
        async for chunk in chunks:
            log += chunk
            if word.encode() in log:
                return True
    return False


async def _judge(client: AsyncClient, case: Case, pod: Pod) -> Verdict:
    try:
        log = b"".join([chunk async for chunk in client.logs(pod, "main")])
    except FarnodeError as error:
        log = str(error).encode()
    return Verdict(case, *case.judge(pod, log.decode("utf-8", "replace")))
