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

# $1 is the script, $2 the exit file, $3 the directory. It begins when its gateway has written the record, and says so
# by a line; when the gateway dies before that, `read` meets the end of the pipe. Signals to the group interrupt `wait`,
# so it waits again; the warning is meant for the script alone, as a batch system's is.
KEEPER = f"""\
read -r go || {{ echo {UNBORN} >"$2"; exit 125; }}
exec </dev/null
cd "$3" || exit 126
trap : HUP INT TERM
trap 'kill -USR1 "$child" 2>/dev/null' USR1
/bin/sh "$1" &
child=$!
wait "$child"; code=$?
while [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
echo "$code" >"$2.new" && mv -f "$2.new" "$2"
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
    entry, gate = os.pipe()
    try:
        output = os.open(Path(directory, "job.out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            wiring = [(os.POSIX_SPAWN_DUP2, own, fd) for own, fd in ((entry, 0), (output, 1), (output, 2))]
            signals = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}
            pid = os.posix_spawn(
                argv[0], argv, environment, file_actions=wiring, setsid=True, setsigmask=(), setsigdef=signals
            )
        finally:
            os.close(output)
    except BaseException:
        os.close(gate)
        raise
    finally:
        os.close(entry)
    return Held(pid, gate)


def exit_code(directory: str) -> int | str | None:
    """The script's exit code (128 + n for signal n), UNBORN, or None where none was written: the keeper was killed."""
    try:
        text = Path(directory, EXIT).read_text().strip()
    except OSError:
        return None
    if text == UNBORN:
        return UNBORN
    return int(text) if text.isdigit() else None
