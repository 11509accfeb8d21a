"""The programs of `benchmarks/` are in no package that is installed: what they count with is found here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
