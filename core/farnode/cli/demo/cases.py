"""What is expected of each pod of the demo. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from farnode.client.pod import Pod


@dataclass(frozen=True, slots=True)
class Case:
    """One pod, by name, and how it must end; `log` must be in what its container `main` wrote."""

    name: str
    shows: str
    phase: str
    exit_code: int | None = 0
    reason: str = ""
    log: str = ""
    restarts: int = 0
    delete: bool = False

    @property
    def expected(self) -> str:
        return _words(self.phase, self.reason, self.exit_code, self.restarts)

    def judge(self, pod: Pod, log: str) -> tuple[str, bool]:
        """What came, in words, and whether that is what was expected."""
        code = pod.exit_code("main") if self.exit_code is not None else None
        got = _words(pod.phase, pod.reason if self.reason else "", code, pod.restarts)
        if got == self.expected and self.log not in log:
            return f"{got}, but wrote {log.strip()!r}", False
        return got, got == self.expected


CASES = (
    Case("hello", "a command runs", "Succeeded", log="hello from hello"),
    Case("exit-code", "its failure is seen", "Failed", 3, log="going wrong"),
    Case("init-containers", "init containers, a shared volume", "Succeeded", log="first\nsecond\n"),
    Case("config-and-secret", "ConfigMap and Secret", "Succeeded", log="good morning, s3cret"),
    Case("two-gpus", "two of four GPUs", "Succeeded", log="GPUs: 2"),
    Case("all-gpus", "all four, queued behind those two", "Succeeded", log="GPUs: 4"),
    Case("restarted", "a restart after a failure", "Succeeded", log="second try", restarts=1),
    Case("too-long", "activeDeadlineSeconds", "Failed", None, "DeadlineExceeded", log="waiting"),
    Case("deleted", "deleted with grace", "Succeeded", log="goodbye", delete=True),
)


def _words(phase: str, reason: str, exit_code: int | None, restarts: int) -> str:
    parts = [phase, reason, f"exit code {exit_code}" if exit_code else "", f"{restarts} restart" if restarts else ""]
    return ", ".join(part for part in parts if part)
