"""The published description is kept: whatever is sent, the answer is one it lists, in the shape it says."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from farnode.gateway.http import create_app
from tests.gateway.http.service import Authenticator, Memory

memory = Memory(endless=False)
memory.owners["p"] = "root"
schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(memory, Authenticator()))


@schema.auth()
class Token:
    """Known to schemathesis as the way in, so that it also tries without."""

    def get(self, case: Any, context: Any) -> str:
        return "Bearer admin"

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["authorization"] = data


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_described(case: Any) -> None:
    case.call_and_validate(excluded_checks=[positive_data_acceptance])  # 410 and 413 refuse what is well-formed
