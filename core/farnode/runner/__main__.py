"""`python3 runner.pyz supervise` (what a batch job starts) and `run` (what the supervisor starts)."""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Imports what the command needs and no more: the supervisor stays small."""
    command = arguments[1:2]
    if command == ["run"]:
        from .main import main as run

        return run()
    if command == ["supervise"]:
        from .supervisor import main as supervise

        return supervise([sys.executable, "-I", "-S", "-X", "utf8", arguments[0], "run"])
    sys.stderr.write("usage: runner.pyz supervise | run\n")
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv))
