"""Kubernetes' rules for names ("Object Names and IDs", "Labels and Selectors"), as one table of rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from farnode.errors import Invalid

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"


@dataclass(frozen=True, slots=True)
class Rule:
    pattern: str
    longest: int
    words: str

    def holds(self, value: str) -> bool:
        return len(value) <= self.longest and re.fullmatch(self.pattern, value) is not None

    def check(self, value: str, path: str) -> str:
        """The value itself; Invalid when it breaks the rule."""
        if len(value) > self.longest:
            raise Invalid(path, f"has {len(value)} characters; at most {self.longest} are allowed")
        if not self.holds(value):
            raise Invalid(path, f"{value!r} is not valid: {self.words}")
        return value


_DNS = "lower-case letters, digits and '-'{}, beginning and ending with a letter or digit"
LABEL = Rule(_LABEL, 63, _DNS.format(""))
SUBDOMAIN = Rule(rf"{_LABEL}(\.{_LABEL})*", 253, _DNS.format(" or '.'"))
ENV_NAME = Rule("[ -<>-~]+", 32768, "printable ASCII characters other than '='")
KEY = Rule(r"(?!\.\.)[-._a-zA-Z0-9]*[-_a-zA-Z0-9][-._a-zA-Z0-9]*", 253, "letters, digits, '-', '_' and '.'")
LABEL_VALUE = Rule(
    f"({_QUALIFIED})?", 63, "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
)
UID = Rule(
    "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", 36, "a lower-case UUID such as 6f1c2b1e-8a53-4f5e-9d57-0b1f5a8f9c11"
)
PORT_NAME = Rule(
    "(?!-)(?=[-0-9]*[a-z])(?!.*--)[-a-z0-9]*(?<!-)",
    15,
    "lower-case letters, digits and '-' between them, at least one letter",
)
HEADER_NAME = Rule("[-A-Za-z0-9]+", 4096, "letters, digits and '-'")
SIGNER = Rule(
    rf"(?=[^/]*\.){_LABEL}(\.{_LABEL})*/{_LABEL}(\.{_LABEL})*", 571, "a domain and a path such as example.com/signer"
)
TRUST_BUNDLE = Rule(
    rf"(?!.*[^:]{{254}})({_LABEL}(\.{_LABEL})*:{_LABEL}(\.{_LABEL})*:)?{_LABEL}(\.{_LABEL})*",
    571,
    _DNS.format(" or '.'"),
)
_QUALIFIED_NAME = Rule(_QUALIFIED, 63, "letters, digits, '-', '_' and '.', after an optional DNS prefix and '/'")


def check_qualified(key: str, path: str) -> str:
    """The key of a label or annotation, or a resource name: `name` or `dns.prefix/name`."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        SUBDOMAIN.check(prefix.lower(), path)
    _QUALIFIED_NAME.check(name, path)
    return key
