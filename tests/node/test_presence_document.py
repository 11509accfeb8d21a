"""The Node object as a function of what is known of a site."""

from __future__ import annotations

from typing import Any, cast

import pytest

from farnode.model.api import SiteView
from farnode.model.names import LABEL_VALUE, check_qualified
from farnode.node.presence import labels, resources
from farnode.node.presence.conditions import conditions, written
from farnode.node.presence.document import Document, Known
from farnode.node.presence.ownership import APPLIED, Applied, applied, merged
from farnode.node.presence.settings import Endpoint, NodeSettings

GIB = 1024**3
Json = dict[str, Any]
SETTINGS = NodeSettings("vega")
ENDPOINT = Endpoint("10.0.0.7", 10250)


def gpu(vendor: str = "nvidia.com", model: str = "a100", count: int = 4, **more: Any) -> Json:
    return {"vendor": vendor, "model": model, "count": count, "memory": None, "mig": None, **more}


def offer(name: str = "cpu", cores: int = 64, memory: int = 256 * GIB, nodes: int = 2, **more: Any) -> Json:
    return {"name": name, "cores": cores, "memory": memory, "nodes": nodes, "partition": name, "gpus": [], **more}


def document(*offers: Json, settings: NodeSettings = SETTINGS, unreachable: str = "", **site: Any) -> Document:
    view = cast("SiteView", {"name": "vega", "offers": list(offers), **site})
    return Document(settings, ENDPOINT, Known(view, unreachable))


def stored(document: Document, version: str = "1") -> Json:
    """What the API server keeps of it."""
    node = document.created(1000.0)
    node["metadata"] |= {"uid": "u", "resourceVersion": version}
    return node


# ---- what there is ---------------------------------------------------------------------------------------------------


def test_the_sum_of_what_is_offered() -> None:
    mig = gpu(model="a100_1g.10gb", count=14, mig="1g.10gb")
    offers = [offer(), offer("gpu", 32, 512 * GIB, 3, gpus=[gpu(), mig])]
    assert resources.capacity(offers, SETTINGS) == {
        "cpu": "224",
        "memory": "2Ti",
        "ephemeral-storage": "500Gi",
        "nvidia.com/gpu": "12",
        "nvidia.com/mig-1g.10gb": "42",
        "pods": "1k",
    }


def test_what_may_wait_counts_too() -> None:
    found = resources.capacity([offer(cores=3, nodes=1, gpus=[gpu(count=3)])], NodeSettings("v", 1.5, pods=20))
    assert found == {
        "cpu": "4500m",
        "memory": "384Gi",
        "ephemeral-storage": "150Gi",
        "nvidia.com/gpu": "4",
        "pods": "20",
    }


def test_no_more_nodes_than_jobs_that_may_be_queued() -> None:
    assert resources.capacity([offer(nodes=100, max_submit=3)], SETTINGS)["cpu"] == "192"
    assert resources.capacity([offer(nodes=2, max_submit=300)], SETTINGS)["cpu"] == "128"
    assert resources.capacity([offer(nodes=2, max_submit=0)], SETTINGS)["cpu"] == "0"


def test_where_nothing_starts_now_nothing_is_allocatable() -> None:
    offers = [offer(), offer("gpu", problem="the partition is down", gpus=[gpu()])]
    assert resources.capacity(offers, SETTINGS)["nvidia.com/gpu"] == "8"
    assert resources.allocatable(offers, SETTINGS) == resources.capacity([offer()], SETTINGS)


@pytest.mark.parametrize(
    ("vendor", "names"),
    [
        ("nvidia.com", {"nvidia.com/gpu"}),
        ("amd.com", {"amd.com/gpu"}),
        ("gpu.intel.com", {"gpu.intel.com/i915", "gpu.intel.com/xe"}),
    ],
)
def test_devices_have_the_names_that_pods_ask_for(vendor: str, names: set[str]) -> None:
    found = resources.capacity([offer(gpus=[gpu(vendor)])], SETTINGS)
    assert {name: found[name] for name in found if "/" in name} == dict.fromkeys(names, "8")


def test_a_node_may_stand_for_some_offers() -> None:
    offers = [offer("cpu"), offer("gpu.a100", partition="gpu"), offer("gpu.h100", partition="gpu")]
    shown = resources.shown(offers, NodeSettings("v", offers=("gpu",)))
    assert [one["name"] for one in shown] == ["gpu.a100", "gpu.h100"]
    assert resources.shown(offers, NodeSettings("v", offers=("gpu.h100",))) == offers[2:]
    assert resources.shown(offers, SETTINGS) == offers


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_one_partition_and_one_type_of_gpu_are_values() -> None:
    offers = [offer("gpu", gpus=[gpu(model="nvidia_a100-sxm4-80gb", memory=80 * GIB)])]
    found = labels.of_site("vega", offers, NodeSettings("node", zone="z1"))
    assert found == {
        "type": "virtual-kubelet",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": "node",
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
        "topology.kubernetes.io/zone": "z1",
        "farnode.io/site": "vega",
        "farnode.io/partition": "gpu",
        "farnode.io/partition.gpu": "true",
        "farnode.io/gpu-model": "nvidia_a100-sxm4-80gb",
        "farnode.io/gpu-model.nvidia_a100-sxm4-80gb": "true",
        "farnode.io/gpu-memory": "81920",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "nvidia.com/gpu.memory": "81920",
    }


def test_each_of_several_is_a_label_of_its_own() -> None:
    offers = [offer("cpu"), offer("gpu", gpus=[gpu(), gpu(model="h100")])]
    found = labels.of_site("vega", offers, SETTINGS)
    ours = {key for key in found if key.startswith("farnode.io/")}
    assert ours == {
        "farnode.io/site",
        "farnode.io/partition.cpu",
        "farnode.io/partition.gpu",
        "farnode.io/gpu-model.a100",
        "farnode.io/gpu-model.h100",
    }


def test_what_the_administrator_says_goes_before() -> None:
    settings = NodeSettings("v", labels={"kubernetes.io/arch": "arm64", "farnode.io/partition": "mine", "own": "x"})
    found = labels.of_site("vega", [offer()], settings)
    assert (found["kubernetes.io/arch"], found["farnode.io/partition"], found["own"]) == ("arm64", "mine", "x")
    wanted = document(offer(), settings=settings).created(0)
    assert wanted["status"]["nodeInfo"]["architecture"] == "arm64"


@pytest.mark.parametrize(
    "text",
    ["a b/c", "-_.x", "x" * 100, "ü", "", "a100:4(S:0-1)", "." * 70, "x" * 62 + "-y", "x" * 52 + "...." + "y" * 9],
)
def test_labels_are_valid_whatever_a_site_calls_its_things(text: str) -> None:
    offers = [offer(partition=text, gpus=[gpu(model=text)])]
    for key, value in labels.of_site(text, offers, NodeSettings("n" * 253)).items():
        check_qualified(key, key)
        assert LABEL_VALUE.holds(value), (key, value)


@pytest.mark.parametrize(
    ("model", "product"),
    [
        ("nvidia_a100-sxm4-80gb", "NVIDIA-A100-SXM4-80GB"),
        ("nvidia_h100_80gb_hbm3", "NVIDIA-H100-80GB-HBM3"),
        ("nvidia_geforce_rtx_3080_ti", "NVIDIA-GeForce-RTX-3080-Ti"),
        ("tesla_v100-sxm2-32gb", "Tesla-V100-SXM2-32GB"),
        ("a100", "A100"),
    ],
)
def test_products_as_feature_discovery_names_them(model: str, product: str) -> None:
    assert labels.product("nvidia.com", model) == product


# ---- whose is what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("present", "before", "wanted", "kept"),
    [
        ({}, {}, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": "1"}, {}, {}),
        ({"a": "theirs"}, {"a": "1"}, {"a": "2"}, {"a": "theirs"}),
        ({"a": "theirs"}, {}, {"a": "2"}, {"a": "theirs"}),
        ({}, {"a": "1"}, {"a": "2"}, {}),
        ({"b": "theirs"}, {"a": "1"}, {}, {"b": "theirs"}),
    ],
    ids=["new", "changed", "gone", "edited", "was there", "removed by them", "others'"],
)
def test_a_merge_of_three(present: Json, before: Json, wanted: Json, kept: Json) -> None:
    assert merged(present, before, wanted) == kept


@pytest.mark.parametrize("text", ["", "{", "[]", '{"labels": 3, "taints": []}', '{"labels": {}}'])
def test_a_broken_annotation_claims_nothing(text: str) -> None:
    assert applied({"metadata": {"annotations": {APPLIED: text}}}) == Applied()
    assert applied({"metadata": {}}) is None


def test_a_new_node_needs_no_change() -> None:
    wanted = document(offer(gpus=[gpu()]))
    node = stored(wanted)
    assert wanted.changed(node) is None
    assert wanted.changed_status(node, 2000.0) is None


def test_only_what_differs_is_written() -> None:
    node = stored(document(offer(gpus=[gpu(model="a100")])))
    patch = document(offer(gpus=[gpu(model="h100")])).changed(node)
    assert patch
    annotation = patch["metadata"].pop("annotations")[APPLIED]
    assert '"farnode.io/gpu-model":"h100"' in annotation
    assert patch == {
        "metadata": {
            "resourceVersion": "1",
            "labels": {
                "farnode.io/gpu-model": "h100",
                "farnode.io/gpu-model.a100": None,
                "farnode.io/gpu-model.h100": "true",
                "nvidia.com/gpu.product": "H100",
            },
        }
    }


def test_the_taint_of_an_unreachable_site_comes_and_goes_among_others() -> None:
    node = stored(document(offer()))
    theirs = {"key": "maintenance", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    node["spec"]["taints"].append(theirs)
    patch = document(offer(), unreachable="away").changed(node)
    assert patch
    keys = [taint["key"] for taint in patch["spec"]["taints"]]
    assert keys == ["virtual-kubelet.io/provider", "maintenance", "farnode.io/site-unreachable"]
    assert theirs in patch["spec"]["taints"]
    node["spec"]["taints"] = patch["spec"]["taints"]
    node["metadata"]["annotations"] = patch["metadata"]["annotations"]
    assert document(offer(), unreachable="away").changed(node) is None
    back = document(offer()).changed(node)
    assert back
    assert [taint["key"] for taint in back["spec"]["taints"]] == keys[:2]


def test_a_taint_of_ours_that_somebody_removed_stays_away() -> None:
    node = stored(document(offer()))
    node["spec"]["taints"] = []
    assert document(offer()).changed(node) is None
    assert "spec" not in (document(offer(), draining=False, name="other").changed(node) or {})


def test_a_node_that_may_not_change_its_taints_leaves_them() -> None:
    node = stored(document(offer()))
    assert document(offer(), unreachable="away").changed(node, taints=False) is None
    assert "spec" in (document(offer(), unreachable="away").changed(node) or {})


def test_a_draining_site_gets_no_new_pods() -> None:
    assert {"key": "farnode.io/site-draining", "effect": "NoSchedule"} in document(draining=True).taints()


def test_other_taints_instead_of_ours() -> None:
    mine = {"key": "hpc", "value": "only", "effect": "NoSchedule"}
    assert document(settings=NodeSettings("v", taints=(mine,))).taints() == [mine]
    assert document(settings=NodeSettings("v", taints=())).taints() == []


def test_before_the_site_was_ever_heard_of_nothing_is_taken_back() -> None:
    node = stored(document(offer(gpus=[gpu()])))
    away = Document(SETTINGS, ENDPOINT, Known(None, "the gateway does not answer"))
    patch = away.changed(node)
    assert patch
    assert patch["metadata"]["labels"] == {}
    status = away.changed_status(node, 2000.0)
    assert status
    assert status["status"].keys() == {"conditions"}


# ---- status ----------------------------------------------------------------------------------------------------------


def test_resources_that_are_gone_are_removed() -> None:
    node = stored(document(offer(gpus=[gpu()])))
    patch = document(offer(cores=1)).changed_status(node, 2000.0)
    assert patch
    assert patch["metadata"] == {"uid": "u"}
    assert patch["status"]["allocatable"]["nvidia.com/gpu"] is None
    assert patch["status"]["allocatable"]["cpu"] == "2"
    assert "addresses" not in patch["status"]


def test_an_address_replaces_the_one_before() -> None:
    node = stored(document(offer()))
    moved = Document(SETTINGS, Endpoint("node.example", 443), document(offer()).known).changed_status(node, 2000.0)
    assert moved
    assert moved["status"]["addresses"] == [
        {"type": "InternalDNS", "address": "node.example"},
        {"type": "Hostname", "address": "node.example"},
        {"$patch": "replace"},
    ]
    assert moved["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 443}}


def test_a_feature_that_the_api_server_dropped_is_not_written_for_ever() -> None:
    node = stored(document(offer()))
    del node["status"]["declaredFeatures"]
    assert document(offer()).changed_status(node, 2000.0) is None
    again = document(offer()).changed_status(node, 2000.0, heartbeat=True)
    assert again
    assert again["status"]["declaredFeatures"] == ["ExtendWebSocketsToKubelet"]


def test_ready_stays_when_the_site_cannot_be_reached() -> None:
    found = {one.kind: one for one in conditions("no route to host", "", "request x waits")}
    assert (found["Ready"].status, found["NetworkUnavailable"].status) == ("True", "True")
    assert (found["SiteReachable"].status, found["SiteReachable"].message) == ("False", "no route to host")
    assert (found["ServingCertificate"].status, found["ServingCertificate"].message) == ("False", "request x waits")
    fine = {one.kind: one for one in conditions("", "slurmctld does not answer", "")}
    assert (fine["SiteReachable"].status, fine["SiteReachable"].message) == ("True", "slurmctld does not answer")


def test_a_transition_is_when_the_status_became_another() -> None:
    first = written(conditions("", "", ""), (), 1000.0)
    second = written(conditions("away", "", ""), first, 2000.0)
    since = {one["type"]: one["lastTransitionTime"] for one in second}
    assert since["Ready"] == "1970-01-01T00:16:40Z"
    assert since["SiteReachable"] == "1970-01-01T00:33:20Z"
    assert {one["lastHeartbeatTime"] for one in second} == {"1970-01-01T00:33:20Z"}
