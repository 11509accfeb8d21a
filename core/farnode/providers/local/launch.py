"""The process of an allocation: a session of its own, so that it outlives the gateway, and a shell that keeps the
script's exit code in a file, because a restarted gateway is no longer its parent and cannot ask for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXIT = "exit"
UNBORN = "unborn"
"""What stands in the exit file of a process whose gateway died before it was let go: nothing of it ever ran."""

# $1 is the script, $2 the exit file, $3 the directory; the gate is standard input, first moved to 4 because a shell
# gives /dev/null to what it starts in the background. The script's process begins when its gateway has written the
# record and says so by a line; when the gateway dies before that, `read` meets the end of the pipe. It tells by a line
# on 3 that it is there, with the default reaction to signals: an early SIGTERM would else only meet the keeper's trap.
# Signals to the group interrupt the keeper's `wait`, so it waits again; the warning is for the script alone.
KEEPER = f"""\
exec 4<&0 </dev/null
trap : HUP INT TERM
trap 'kill -USR1 "$child" 2>/dev/null' USR1
(
    echo ready >&3
    read -r go <&4 || {{ echo {UNBORN} >"$2"; exit; }}
    cd "$3" && exec /bin/sh "$1" 3>&- 4<&-
) &
child=$!
exec 3>&- 4<&-
wait "$child"; code=$?
while [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
[ -e "$2" ] || {{ echo "$code" >"$2.new" && mv -f "$2.new" "$2"; }}
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A process that waits to be let go; closing `gate` instead ends it before it began."""

    pid: int
    gate: int

    def release(self) -> None:
        os.write(self.gate, b"\n")


def launch(nonce: str, script: Path, directory: str, environment: Mapping[str, str]) -> Held:
    """Raises OSError where the directory or a shell is missing. The caller closes the gate.

    Spawned bare rather than by `subprocess`, whose objects complain about a child that lives on without them.
    """
    exit_file = Path(directory, EXIT)
    exit_file.unlink(missing_ok=True)
    argv = ["/bin/sh", "-c", KEEPER, f"farnode-{nonce}", str(script), str(exit_file), directory]
    opened = [entry, gate, heard, told] = [*os.pipe(), *os.pipe()]
    try:
        output = os.open(Path(directory, "job.out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        opened.append(output)
        wiring = ((entry, 0), (output, 1), (output, 2), (told, 3))
        pid = os.posix_spawn(
            argv[0],
            argv,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, *pair) for pair in wiring],
            setsid=True,
            setsigmask=(),
            setsigdef=set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP},
        )
        opened.remove(told)
        os.close(told)
        os.read(heard, 1)  # nothing where the shell has died; its end is found like any other
        opened.remove(gate)
        return Held(pid, gate)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def exit_code(directory: str) -> int | str | None:
    """The script's exit code (128 + n for signal n), UNBORN, or None where none was written: the keeper was killed."""
    try:
        text = Path(directory, EXIT).read_text().strip()
    except OSError:
        return None
    if text == UNBORN:
        return UNBORN
    return int(text) if text.isdigit() else None
