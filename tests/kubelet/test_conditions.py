"""The conditions and the QoS class of a pod, as a real kubelet and the API server work them out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farnode.model.pod import parse_pod
from farnode.model.status import status_of
from tests.kubelet.histories import documents, moments
from tests.kubelet.kubelet import Kubelet

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the first one on a machine builds the program

Json = dict[str, Any]


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_conditions(kubelet: Kubelet, data: st.DataObject) -> None:
    document = data.draw(documents())
    pod, before = parse_pod(document), Json()
    for moment in data.draw(st.lists(moments(document), min_size=1, max_size=4)):
        before = {**before, "conditions": _told(before.get("conditions", ()), moment.pop("told"))}
        event: Any = moment
        status = status_of(pod, event, before)
        said = kubelet.ask(
            status={
                "pod": {**document, "status": {"conditions": before["conditions"]}},
                "old": before,
                "new": status,
                "sandbox": "startTime" in status and status["phase"] in ("Pending", "Running"),
            }
        )
        ours = [one for one in status["conditions"] if one["type"] != "PodScheduled"]
        assert [_essence(one) for one in ours] == [_essence(one) for one in said["conditions"]]
        assert status["qosClass"] == said["qosClass"]
        before = status


def _told(conditions: Any, told: Json) -> list[Json]:
    """With what others say of their own conditions."""
    kept = [one for one in conditions if one["type"] not in told]
    return kept + [{"type": kind, "status": status} for kind, status in told.items()]


def _essence(condition: Json) -> Json:
    return {key: condition[key] for key in ("type", "status", "reason", "message") if condition.get(key)}
