"""farnode run."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

import click

from farnode.cli import tables
from farnode.cli.attended import attend
from farnode.cli.connection import BRIEF, LONG, call
from farnode.cli.interactive import interact, removed
from farnode.cli.manifest import Simple, annotated
from farnode.cli.settings import connected
from farnode.client import intake
from farnode.client.aio import AsyncClient
from farnode.client.intake import Document
from farnode.model.annotations import RUNTIMES

_NO_IMAGE = "none"
"""Of a pod for the process runtime: v1.Pod wants an image, which is not looked at."""
FILES = (".yaml", ".yml", ".json")
"""Endings by which words, where no image is given, are files and not the program to run."""


@click.command()
@connected
@click.argument("words", metavar="[FILE...] | [-- ARG...]", nargs=-1)
@click.option("-f", "--filename", "files", multiple=True, metavar="FILE", help="Pods, ConfigMaps, Secrets; - is stdin.")
@click.option("--image", metavar="IMAGE", help="A pod of one container instead of files.")
@click.option("--name", metavar="NAME", help="Of that pod.  [default: from the image's]")
@click.option("--command", is_flag=True, help="ARGs replace the image's entry point, not its arguments.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="For that container; may be repeated.")
@click.option("--cpus", metavar="QUANTITY", help="For that container: 4, 500m.")
@click.option("--memory", metavar="QUANTITY", help="For that container: 8Gi.")
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="For that container: N of nvidia.com/gpu.")
@click.option("--walltime", metavar="DURATION", help="How long the pods may run: 30m, 2h.")
@click.option("--runtime", type=click.Choice(RUNTIMES), help="What runs the containers; process: without their image.")
@click.option(
    "--watch/--detach", "-w/-d", default=True, help="Stay until they have ended, or only submit.  [default: stay]"
)
@click.option("--logs/--no-logs", default=None, help="Show what they write.  [default: for a single pod]")
@click.option("-i", "--stdin", is_flag=True, help="With --image: attach to it, standard input passed on.")
@click.option("-t", "--tty", is_flag=True, help="With --image: give it this terminal; needs -i.")
@click.option("--rm", "remove", is_flag=True, help="Remove the pods, with their logs, when they have ended.")
@click.option("-o", "--output", type=tables.FORMATS, help="With --detach: how to print them.")
def run(
    words: tuple[str, ...],
    files: tuple[str, ...],
    image: str | None,
    name: str | None,
    command: bool,
    env: tuple[str, ...],
    cpus: str | None,
    memory: str | None,
    gpus: int | None,
    walltime: str | None,
    runtime: str | None,
    watch: bool,
    logs: bool | None,
    stdin: bool,
    tty: bool,
    remove: bool,
    output: str | None,
) -> None:
    """Run pods and stay until they have ended; exit with the code of the first container that failed.

    Ctrl-C ends the pods with grace; pressed again, it leaves them to end by themselves.

    \b
    farnode run pod.yaml
    farnode run -f a.yaml -f b.yaml --site leonardo
    farnode run --image busybox --name hello -- echo hello
    farnode run --runtime process --name who -- hostname
    farnode run -it --rm --image busybox --name shell -- sh
    farnode run -d pods.yaml -o name
    """
    if image is None and words and all(word.endswith(FILES) for word in words):
        files, words = files + words, ()
    _check(image is not None or runtime == "process", watch, stdin, tty, remove)
    resources = {"cpu": cpus, "memory": memory, "nvidia.com/gpu": gpus and str(gpus)}
    simple = Simple(
        name=name or _name(image, words),
        image=image or _NO_IMAGE,
        words=words,
        command=command or runtime == "process",
        env=env,
        resources={key: value for key, value in resources.items() if value},
        stdin=stdin,
        tty=tty,
    )
    documents = _documents(files, simple, image is not None or runtime == "process")
    settings = {key: value for key, value in (("runtime", runtime), ("walltime", walltime)) if value}
    documents = [annotated(document, settings) for document in documents]
    if watch:
        shown = len(documents) == 1 if logs is None else logs

        async def stay(client: AsyncClient) -> int:
            return await (interact(client, documents, tty) if stdin else attend(client, documents, shown))

        def work(client: AsyncClient) -> Awaitable[int]:
            return removed(client, documents, lambda: stay(client)) if remove else stay(client)

        raise click.exceptions.Exit(call(work, LONG))
    pods = call(lambda client: client.submit(documents), BRIEF)
    if output:
        click.echo(tables.pods(pods, output, time.time()))
        return
    for pod in pods:
        click.echo(f"pod {pod} submitted, uid {pod.uid}")


def _check(simple: bool, watch: bool, stdin: bool, tty: bool, remove: bool) -> None:
    if tty and not stdin:
        raise click.UsageError("-t needs -i")
    if stdin and not simple:
        raise click.UsageError("-i needs --image (or --runtime process) and no files")
    if (stdin or remove) and not watch:
        raise click.UsageError("--detach excludes -i and --rm")


def _documents(files: Sequence[str], simple: Simple, complete: bool) -> list[Document]:
    if files and (simple.image != _NO_IMAGE or simple.words):
        raise click.UsageError("use either -f or --image with ARGs")
    if files:
        found = intake.read([sys.stdin.read() if file == "-" else Path(file) for file in files])
    elif complete:
        found = intake.read(simple.manifest())
    else:
        raise click.UsageError("name what to run: FILE.yaml, -f FILE, or --image IMAGE")
    return found


def _name(image: str | None, words: Sequence[str]) -> str:
    """Of the image's last part, or of the program's."""
    source = image or (words[0] if words else "pod")
    last = source.rstrip("/").rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    return "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in last).strip("-") or "pod"
