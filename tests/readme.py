"""The tables of README.md that are made from the code: `python -m tests.readme` writes them anew.

Each stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from farnode.config.values import HostPort
from farnode.gateway.config import GatewayConfig
from farnode.model import annotations, gpu
from farnode.model.fields import KINDS
from tests.scenarios.scenario import Scenario, load, played
from tests.scenarios.stacks import STACKS

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MADE = {
    "state": "`~/.local/state/farnode/<site>`",
    "spool": "`~/.farnode/spool/<site>`",
    "listen": "`unix:<state>/gateway.sock`",
    "runners.advertise": "this host's name",
    "images.platform": "this host's",
}
"""Defaults that depend on something; in words."""
SIZES = {"limits.logSize", "quotas.bundleBytes", "quotas.spoolBytes", "images.maxBytes"}
SHOWN = {
    "spec": "pod",
    "container": "container",
    "probe": "container.*Probe",
    "hook": "container.lifecycle.*",
    "restartRule": "container.restartPolicyRules",
    "port": "container.ports",
    "volumeMount": "container.volumeMounts",
    "volume": "volume",
    "projection": "volume.projected.sources",
    "claimSpec": "PersistentVolumeClaim.spec",
    "securityContext": "container.securityContext",
    "podSecurityContext": "pod.securityContext",
}


def written(text: str) -> str:
    """The README with its tables as they are now."""
    return BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def settings() -> str:
    rows = [
        f"| `{name}` | {_default(name, field)} | {' '.join((field.description or '').split())} |"
        for name, field in _fields(GatewayConfig)
        if name != "provider.settings"  # whatever the driver takes; the README has them by hand
    ]
    return "\n".join(["| key | default | meaning, and why this default |", "|---|---|---|", *rows]) + "\n"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from _fields(below, f"{key}.")
        else:
            yield key, field


def _default(name: str, field: FieldInfo) -> str:
    if name in MADE:
        return MADE[name]
    value: Any = field.default
    if value is PydanticUndefined:
        return "none" if field.default_factory else "must be given"
    if value is None:
        return "none"
    if isinstance(value, HostPort):
        return f"`{value.host}:{value.port}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`" if value else "none"
    if name in SIZES:
        return f"`{_size(value)}`"
    return f"`{_duration(value)}`" if isinstance(value, float) else f"`{value}`"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _size(count: int) -> str:
    for unit, length in (("Gi", 1 << 30), ("Mi", 1 << 20)):
        if count % length == 0:
            return f"{count // length}{unit}"
    return str(count)


def gpus() -> str:
    rows = [f"| `{row.example}` | {row.meaning} |" for row in gpu.TABLE]
    return "\n".join(["| in `resources.limits` | is |", "|---|---|", *rows]) + "\n"


def fields() -> str:
    """By name only; the words are in `farnode.model.fields`."""
    rows = [
        f"| {title} | {_names(KINDS[kind].honoured)} | {_names(KINDS[kind].harmless)} | {_names(KINDS[kind].refused)} |"
        for kind, title in SHOWN.items()
    ]
    return "\n".join(["| in | honoured | harmless | refused |", "|---|---|---|---|", *rows]) + "\n"


def _names(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names) or "—"  # type: ignore[attr-defined]


def scenarios() -> str:
    """What is played on every stack, and why something of it does not work on one."""
    rows = [f"| [{each.name}]({each.source}) | {' | '.join(_cells(each))} |" for each in played()]
    heads = [f"`{stack.runtime}`" for stack in STACKS]
    return "\n".join([f"| scenario | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|", *rows]) + "\n"


def counts() -> str:
    """How many scenarios there are, and how many of them a stack lacks something for."""
    cells = [_cells(each) for each in played()]
    lacking = [sum(row[place] != "yes" for row in cells) for place in range(len(STACKS))]
    gaps = ", ".join(
        f"{number} with `{stack.runtime}`" for number, stack in zip(lacking, STACKS, strict=True) if number
    )
    refused = len(load("refused"))
    return (
        f"{len(cells)} run on {len(STACKS)} stacks, but for {gaps}: `no` in the table gives the reason. "
        f"{refused} more are refused, each by its field and with words (`tests/scenarios/pods/refused.yaml`).\n"
    )


def _cells(scenario: Scenario) -> list[str]:
    gaps = [[words for need, words in sorted(stack.gaps.items()) if need in scenario.needs] for stack in STACKS]
    return [f"no: {found[0]}" if found else "yes" for found in gaps]


TABLES: dict[str, Callable[[], str]] = {
    "annotations": annotations.markdown,
    "settings": settings,
    "gpus": gpus,
    "fields": fields,
    "played": counts,
    "scenarios": scenarios,
}

if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
