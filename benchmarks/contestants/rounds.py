"""How the machine outside speaks with a contestant: one JSON object a line, rounds in on stdin, results out on stdout.

Whatever a library prints goes to stderr, so that nothing but results is on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Round = Callable[[dict[str, Any]], dict[str, Any]]


def serve(play: Round) -> None:
    """Says that it is ready, then plays each round asked for; `seconds` of the answer are those the round took."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=out)
    for line in sys.stdin:
        begun = time.perf_counter()
        answer = play(json.loads(line))
        print(json.dumps({"seconds": time.perf_counter() - begun, **answer}), file=out)
