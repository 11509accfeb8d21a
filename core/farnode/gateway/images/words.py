"""How the kubelet writes names and times. Pure."""

from __future__ import annotations

import json


def quote(text: str) -> str:
    """As Go's %q, as far as names of images go."""
    return json.dumps(text, ensure_ascii=False)


def span(seconds: float) -> str:
    """As Go's Duration, in milliseconds: `1m2.5s`, `310ms`."""
    whole = int(seconds * 1000)
    if whole < 1000:
        return f"{whole}ms" if whole else "0s"
    minutes, rest = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
