"""bwrap, of any version that makes user namespaces (0.1.8)."""

from __future__ import annotations

from .directory import Loan


class Bubblewrap:
    name = "bubblewrap"
    programs: tuple[str, ...] = ("bwrap",)
    as_root = False

    def loan(self, path: str, holder: str, env: dict[str, str], directory: str) -> Loan:  # noqa: ARG002
        return Loan([path, "--unshare-user", "--uid", "0", "--gid", "0", "--dev-bind", "/", "/", holder], env)
