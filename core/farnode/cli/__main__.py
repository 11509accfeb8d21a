"""`python -m farnode.cli`."""

from __future__ import annotations

from farnode.cli.root import main

main()
