"""Label selectors.

Source: Kubernetes, "Labels and Selectors": all requirements must hold; NotIn and DoesNotExist also hold where the label
is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farnode.model.names import LABEL_VALUE, check_qualified
from farnode.model.reader import Reader

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) is (self.operator == "Exists")
        return (labels.get(self.key) in self.values) is (self.operator == "In")


@dataclass(frozen=True, slots=True)
class Selector:
    """Without requirements it takes everything."""

    requirements: tuple[Requirement, ...] = ()

    def takes(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.holds(labels) for requirement in self.requirements)


def read_selector(reader: Reader) -> Selector:
    exact = [
        Requirement(check_qualified(key, value.path), "In", (LABEL_VALUE.check(value.raw_text(), value.path),))
        for key, value in reader.at("matchLabels").entries().items()
    ]
    return Selector((*exact, *map(_read_requirement, reader.at("matchExpressions").items())))


def _read_requirement(reader: Reader) -> Requirement:
    key, values = reader.at("key"), reader.at("values")
    reader.at("operator").text()
    operator = reader.at("operator").choice(OPERATORS, "")
    if bool(values.items()) is not (operator in ("In", "NotIn")):
        raise values.invalid(f"must {'not ' if values.items() else ''}be given with the operator {operator}")
    found = tuple(LABEL_VALUE.check(value.raw_text(), value.path) for value in values.items())
    return Requirement(check_qualified(key.text(), key.path), operator, found)
