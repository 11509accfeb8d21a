"""The group of all commands. Errors leave it as one line on stderr, never as a traceback."""

from __future__ import annotations

from importlib.metadata import version
from typing import IO, Any

import click

from farnode.cli.attach import attach
from farnode.cli.claims import claims
from farnode.cli.copy import copy
from farnode.cli.delete import delete
from farnode.cli.demo.command import demo
from farnode.cli.describe import describe
from farnode.cli.dev import dev
from farnode.cli.doctor import doctor
from farnode.cli.execute import execute
from farnode.cli.forward import port_forward
from farnode.cli.gateway import gateway
from farnode.cli.logs import logs
from farnode.cli.node import node
from farnode.cli.ps import ps
from farnode.cli.run import run
from farnode.cli.settings import connected
from farnode.cli.sites import sites
from farnode.cli.top import top
from farnode.errors import FarnodeError

_INTERRUPTED = 130


class Problem(click.ClickException):
    """An error of ours, in the form of kubectl's."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class Root(click.Group):
    """Translates what the client raises into what a shell understands: 1, 2 for wrong usage, 130 after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FarnodeError as error:
            raise Problem(str(error)) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("farnode"), message="%(version)s")
@connected
def main() -> None:
    """Run Kubernetes pods where only a batch queue lets you in.

    \b
    farnode demo                      see it work on this machine
    farnode run pod.yaml              run a pod at the default site, show its log
    farnode ps                        your pods there
    farnode logs -f POD               what one writes
    farnode describe POD              what became of it and why
    farnode delete POD                end it
    farnode top                       what the site is doing

    A POD is a name, namespace/name, a uid or the beginning of one.
    """


for _command in (
    run,
    ps,
    logs,
    execute,
    attach,
    port_forward,
    copy,
    describe,
    delete,
    claims,
    sites,
    top,
    gateway,
    node,
    doctor,
    demo,
    dev,
):
    main.add_command(_command)
