"""A container's own restart policy and rules, which go before the pod's.

Source: Kubernetes, "Pod Lifecycle", "Individual container restart policy and rules", and the API server's validation.
"""

from __future__ import annotations

from dataclasses import dataclass

from farnode.model.reader import INT32, Reader

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_MOST_RULES = 20
_MOST_CODES = 255


@dataclass(frozen=True, slots=True)
class RestartRule:
    """A container that ends with a code that is (`operator` In) or is not (NotIn) one of `codes` is restarted."""

    operator: str
    codes: tuple[int, ...]


def read_restart(reader: Reader) -> tuple[str, tuple[RestartRule, ...]]:
    """The policy of a container, "" for the pod's, and its rules."""
    policy, rules = reader.at("restartPolicy"), reader.at("restartPolicyRules").items()
    if not policy.text(""):
        if rules:
            raise policy.invalid("is required where there are restartPolicyRules")
        return "", ()
    if len(rules) > _MOST_RULES:
        raise reader.at("restartPolicyRules").invalid(f"has {len(rules)} rules; at most {_MOST_RULES} are allowed")
    return policy.choice(RESTART_POLICIES, ""), tuple(_read_rule(rule) for rule in rules)


def _read_rule(reader: Reader) -> RestartRule:
    action, codes = reader.at("action"), reader.at("exitCodes")
    if action.text() == "RestartAllContainers":
        raise action.invalid("is not possible at a site; use Restart, or let the pod end and its owner make a new one")
    action.choice(("Restart",), "")
    if not codes.given:
        raise codes.invalid("is required")
    values = codes.at("values")
    if len(values.items()) > _MOST_CODES:
        raise values.invalid(f"has {len(values.items())} codes; at most {_MOST_CODES} are allowed")
    codes.at("operator").text()
    operator = codes.at("operator").choice(("In", "NotIn"), "")
    return RestartRule(operator, tuple(_read_code(value) for value in values.items()))


def _read_code(reader: Reader) -> int:
    code = reader.number(-INT32 - 1)
    if code is None:
        raise reader.invalid("is null, but must be a whole number")
    return code
