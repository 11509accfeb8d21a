"""The chart as real helm renders it: what it refuses, and that the node process reads what it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from farnode.node.config import Kubelet, NodeConfig, SiteAccess, VirtualNode, load
from tests.node import chart
from tests.node.chart import CHART, FINGERPRINT, Json, node

pytestmark = pytest.mark.system

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
RICH: Json = {
    "nodes": [
        node("vega", offers=["gpu"], queueDepth=2.5, pods=2000000, zone="north", tolerateAbsence="1h30m"),
        {
            "name": "leo.example",
            "site": {
                "url": "https://[2001:db8::1]",
                "caConfigMap": {"name": "leo-ca", "key": "ca.pem"},
                "tokenSecret": {"name": "leo", "key": "t"},
            },
            "labels": {"tier": "1"},
            "taints": [{"key": "leo", "effect": "NoSchedule"}],
        },
    ],
    "imagePullSecrets": [{"name": "pull"}],
    "replicas": 3,
    "namespaces": ["physics", "biology"],
    "kubelet": {"host": "[::]", "port": 11000, "clientCa": {"configMap": "client-ca", "key": "ca.pem"}},
    "networkPolicy": {
        "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "apiServer": ["192.0.2.7/32"],
        "gateways": ["198.51.100.0/24"],
        "apiServerPorts": [6443],
    },
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
}
PLAIN: Json = {"nodes": [node("vega")]}
SPARE: Json = {**PLAIN, "replicas": 1, "networkPolicy": {"enabled": False}, "flowControl": {"enabled": False}}


def of_kind(objects: list[Json], kind: str) -> Json:
    (found,) = (each for each in objects if each["kind"] == kind)
    return found


def keys_of(definition: Mapping[str, Any]) -> set[str]:
    return set(definition["properties"])


def aliases(part: Any) -> set[str]:
    return {field.alias for field in part.model_fields.values()}


@pytest.mark.parametrize("values", [PLAIN, RICH, SPARE], ids=["plain", "rich", "spare"])
def test_helm_finds_nothing_to_complain_of(values: Json) -> None:
    said = chart.helm("lint", "--strict", str(CHART), values=values).stdout
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "at '/nodes': minItems"),
        ({**PLAIN, "replica": 2}, "additional properties 'replica' not allowed"),
        ({**PLAIN, "replicas": 0}, "at '/replicas': minimum"),
        ({"nodes": [node("Vega")]}, "at '/nodes/0/name': 'Vega' does not match pattern"),
        ({"nodes": [node("vega", queuedepth=2)]}, "additional properties 'queuedepth' not allowed"),
        ({"nodes": [node("vega", tolerateAbsence=60)]}, "at '/nodes/0/tolerateAbsence': got number, want string"),
        ({"nodes": [node("vega", site={"url": "https://a"})]}, "at '/nodes/0/site': missing property 'tokenSecret'"),
        ({"nodes": [node("vega", site={**node("vega")["site"], "token": "s"})]}, "'token' not allowed"),
        ({"nodes": [node("vega", site={**node("vega")["site"], "url": "unix:/run/s"})]}, "at '/nodes/0/site/url'"),
        ({"nodes": [node("vega", site={**node("vega")["site"], "fingerprint": "3f"})]}, "site/fingerprint'"),
        ({"nodes": [node("vega"), node("vega")]}, "nodes: two are named vega"),
        ({**PLAIN, "networkPolicy": {"apiServer": ["api.example.org"]}}, "at '/networkPolicy/apiServer/0'"),
        ({**PLAIN, "kubelet": {"port": "10250"}}, "at '/kubelet/port': got string, want integer"),
    ],
)
def test_nonsense_is_refused_with_words(values: Json, words: str) -> None:
    done = chart.helm("template", str(CHART), values=values, check=False)
    assert done.returncode
    assert not done.stdout
    assert re.search(words, done.stderr), done.stderr


def test_a_virtual_node_has_the_same_settings_here_as_in_the_nodes_configuration() -> None:
    definitions = SCHEMA["definitions"]
    assert keys_of(definitions["node"]) == aliases(VirtualNode)
    files = {"tokenFile": "tokenSecret", "caFile": "caConfigMap"}
    assert keys_of(definitions["site"]) == {files.get(key, key) for key in aliases(SiteAccess)}


@pytest.mark.parametrize("values", [PLAIN, RICH], ids=["plain", "rich"])
def test_the_node_process_reads_what_is_rendered(values: Json, tmp_path: Path) -> None:
    config = configuration(values, tmp_path)
    nodes = {each["name"]: each for each in values["nodes"]}
    assert [each.name for each in config.nodes] == list(nodes)
    for each in config.nodes:
        assert each.site.url == nodes[each.name]["site"]["url"]
        assert each.site.token_file == Path("/etc/farnode/sites", each.name, "token")
    assert config.election is not None
    assert (config.election.namespace, config.election.name) == (chart.NAMESPACE, chart.RELEASE)


def test_settings_arrive(tmp_path: Path) -> None:
    config = configuration(RICH, tmp_path)
    vega, leo = config.nodes
    assert (vega.offers, vega.queue_depth, vega.pods, vega.zone) == (("gpu",), 2.5, 2000000, "north")
    assert (vega.tolerate_absence, vega.site.fingerprint) == (5400.0, FINGERPRINT)
    assert leo.site.ca_file == Path("/etc/farnode/sites/leo.example/ca.crt")
    assert (leo.labels, leo.taints) == ({"tier": "1"}, ({"key": "leo", "effect": "NoSchedule"},))
    assert (config.kubelet.listen.host, config.kubelet.listen.port) == ("::", 11000)
    assert config.kubelet.client_ca_file == Path("/etc/farnode/sites/client-ca.crt")


def test_what_is_left_out_has_the_process_own_defaults(tmp_path: Path) -> None:
    config = configuration(PLAIN, tmp_path)
    default = VirtualNode(name="vega", site=config.nodes[0].site)
    assert config.nodes == (default,)
    assert config.kubelet.listen == Kubelet.model_fields["listen"].default


def configuration(values: Json, directory: Path) -> NodeConfig:
    path = directory / "node.yaml"
    path.write_text(of_kind(chart.render(values), "ConfigMap")["data"]["node.yaml"])
    return load(path, "10.0.0.7")


def test_every_file_the_configuration_names_is_mounted(tmp_path: Path) -> None:
    config = configuration(RICH, tmp_path)
    (sites,) = (
        each["projected"]["sources"]
        for each in of_kind(chart.render(RICH), "Deployment")["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "sites"
    )
    items = [item for source in sites for part in source.values() for item in part["items"]]
    named = [each.site.token_file for each in config.nodes] + [config.nodes[1].site.ca_file]
    assert {Path("/etc/farnode/sites", item["path"]) for item in items} == {*named, config.kubelet.client_ca_file}
    assert [item["key"] for item in items] == ["token", "t", "ca.pem", "ca.pem"]


def test_another_configuration_is_another_pod() -> None:
    def checksum(values: Json) -> str:
        template = of_kind(chart.render(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(PLAIN) == checksum({**PLAIN, "resources": {"limits": {"memory": "2Gi"}}})
    assert checksum(PLAIN) != checksum({"nodes": [node("vega", pods=5)]})


def test_each_virtual_node_has_its_port_and_gateways_are_reached_at_theirs() -> None:
    policy = of_kind(chart.render(RICH), "NetworkPolicy")["spec"]
    (kubelet,) = policy["ingress"]
    assert kubelet["ports"] == [{"port": 11000, "endPort": 11001, "protocol": "TCP"}]
    assert [next(iter(peer)) for peer in kubelet["from"]] == ["ipBlock", "namespaceSelector"]
    gateways = policy["egress"][-1]
    assert gateways["ports"] == [{"port": 8443, "protocol": "TCP"}, {"port": 443, "protocol": "TCP"}]
    assert gateways["to"] == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]


def test_one_process_needs_no_budget_and_the_rest_can_be_left_out() -> None:
    kinds = {each["kind"] for each in chart.render(SPARE)}
    assert not kinds & {"PodDisruptionBudget", "NetworkPolicy", "FlowSchema", "PriorityLevelConfiguration"}


def test_no_value_is_missing_in_the_table() -> None:
    table = (CHART / "README.md").read_text()
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    names = {"nameOverride"} | {
        f"{key}.{part}" if part else key
        for key, value in defaults.items()
        for part in (value if isinstance(value, dict) and value and key != "resources" else [""])
    }
    names |= {f"nodes[].{key}" for key in aliases(VirtualNode) if key != "site"}
    names |= {f"nodes[].site.{key}" for key in SCHEMA["definitions"]["site"]["properties"]}
    assert {name for name in names if f"| `{name}` |" not in table} == set()
