"""Probes, hooks, restart rules and ports, as the API server takes and refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.action import Exec, HttpGet, Sleep, TcpSocket
from farnode.model.container import Container
from farnode.model.gpu import demand
from farnode.model.pod import parse_pod
from farnode.model.probe import STOP_SIGNALS, Lifecycle, Probe
from farnode.model.restart import RestartRule

from .samples import container, one, pod

EXEC = {"exec": {"command": ["true"]}}
TCP = {"tcpSocket": {"port": 80}}
HTTP = {"httpGet": {"port": 80}}
STRANGER = (
    "is not this pod: probes and hooks reach only their own pod; leave it out, or use httpHeaders for a Host header"
)
CODES = {"operator": "In", "values": [1]}


def read(**fields: Any) -> Container:
    return parse_pod(one(**fields)).containers[0]


def hook(**fields: Any) -> Any:
    return one(lifecycle={"preStop": fields})


def rules(*given: Any, policy: str | None = "Never") -> Any:
    return one(restartPolicy=policy, restartPolicyRules=list(given))


def test_a_probe_has_kubernetes_defaults() -> None:
    zeroes = dict.fromkeys(["timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"], 0)
    found = read(livenessProbe=EXEC, readinessProbe={**TCP, **zeroes}, startupProbe=HTTP)
    assert found.liveness_probe == Probe(Exec(("true",)), 0, 1, 10, 1, 3, None)
    assert found.readiness_probe == Probe(TcpSocket(80))
    assert found.startup_probe == Probe(HttpGet(80, "/", "HTTP", ()))


def test_a_probe_is_honoured_whole() -> None:
    found = read(
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe={
            "httpGet": {
                "host": "127.0.0.1",
                "port": "web",
                "path": "ready",
                "scheme": "HTTPS",
                "httpHeaders": [{"name": "Accept", "value": "a/b"}, {"name": "X-Empty"}],
            },
            "initialDelaySeconds": 1,
            "timeoutSeconds": 2,
            "periodSeconds": 3,
            "successThreshold": 4,
            "failureThreshold": 5,
        },
        startupProbe={**TCP, "terminationGracePeriodSeconds": 6, "successThreshold": 1},
    )
    action = HttpGet(8080, "/ready", "HTTPS", (("Accept", "a/b"), ("X-Empty", "")))
    assert found.readiness_probe == Probe(action, 1, 2, 3, 4, 5)
    assert found.startup_probe == Probe(TcpSocket(80), grace=6)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("/a%20b?x=1&y=[2]", "/a%20b?x=1&y=[2]"),
        ("/a b\r\nX: y", "/a%20b%0D%0AX:%20y"),
        ("/ü", "/%C3%BC"),
        ("/a#b", "/a"),
        ("//a", "//a"),
    ],
)
def test_the_path_of_a_request_is_escaped(path: str, sent: str) -> None:
    probe = read(livenessProbe={"httpGet": {"port": 80, "path": path}}).liveness_probe
    assert probe is not None
    assert probe.action == HttpGet(80, sent)


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"])
def test_a_probe_may_name_its_own_host(host: str) -> None:
    assert read(livenessProbe={"tcpSocket": {"port": 1, "host": host}}).liveness_probe == Probe(TcpSocket(1))


def test_hooks_and_the_stop_signal() -> None:
    document = one(lifecycle={"postStart": EXEC, "preStop": {"sleep": {"seconds": 30}}, "stopSignal": "SIGRTMIN+3"})
    document["spec"]["os"] = {"name": "linux"}
    assert parse_pod(document).containers[0].lifecycle == Lifecycle(Exec(("true",)), Sleep(30), "SIGRTMIN+3")
    assert read(lifecycle={"preStop": HTTP}).lifecycle == Lifecycle(pre_stop=HttpGet(80))
    assert read(lifecycle={}).lifecycle == Lifecycle()


def test_the_stop_signals_are_those_of_kubernetes() -> None:
    assert len(STOP_SIGNALS) == 65
    assert {"SIGTERM", "SIGCLD", "SIGRTMIN", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX"} <= STOP_SIGNALS


def test_restart_rules() -> None:
    found = read(
        restartPolicy="OnFailure",
        restartPolicyRules=[
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [1, 255]}},
            {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": list(range(255))}},
        ],
    )
    assert found.restart_policy == "OnFailure"
    assert found.restart_rules == (RestartRule("In", (1, 255)), RestartRule("NotIn", tuple(range(255))))
    assert (read().restart_policy, read().restart_rules) == ("", ())


def test_an_init_container_that_always_restarts_is_a_sidecar_and_may_be_probed() -> None:
    lists = [
        container(name="s", restartPolicy="Always", readinessProbe=TCP),
        container(name="i", restartPolicy="Never"),
    ]
    sidecar, plain = parse_pod(pod(initContainers=lists)).init_containers
    assert (sidecar.sidecar, sidecar.restart_policy, sidecar.readiness_probe) == (True, "Always", Probe(TcpSocket(80)))
    assert (plain.sidecar, plain.restart_policy) == (False, "Never")
    assert not read(restartPolicy="Always").sidecar


def test_the_ports_of_a_pod_are_all_that_anything_of_it_names() -> None:
    document = pod(
        initContainers=[
            container(name="i", ports=[{"containerPort": 7}]),
            container(name="s", restartPolicy="Always", lifecycle={"preStop": HTTP}),
        ],
        containers=[
            container(ports=[{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 9, "hostPort": 9}]),
            container(name="b", livenessProbe={"tcpSocket": {"port": 8}}, startupProbe=TCP),
        ],
    )
    assert demand(parse_pod(document)).ports == (7, 8, 9, 53, 80)


MAIN = "spec.containers[0]"


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (one(livenessProbe={}), f"{MAIN}.livenessProbe", "must have exactly one of exec, httpGet, tcpSocket"),
        (
            one(livenessProbe={**EXEC, **TCP}),
            f"{MAIN}.livenessProbe",
            "must have exactly one of exec, httpGet, tcpSocket",
        ),
        (one(livenessProbe={"exec": {}}), f"{MAIN}.livenessProbe.exec.command", "is required"),
        (
            one(livenessProbe={**EXEC, "successThreshold": 2}),
            f"{MAIN}.livenessProbe.successThreshold",
            "2 must be 1 for a startupProbe or livenessProbe",
        ),
        (
            one(startupProbe={**EXEC, "successThreshold": 2}),
            f"{MAIN}.startupProbe.successThreshold",
            "2 must be 1 for a startupProbe or livenessProbe",
        ),
        (
            one(readinessProbe={**EXEC, "terminationGracePeriodSeconds": 5}),
            f"{MAIN}.readinessProbe.terminationGracePeriodSeconds",
            "must not be set for a readinessProbe: it ends nothing",
        ),
        (
            one(livenessProbe={**EXEC, "terminationGracePeriodSeconds": 0}),
            f"{MAIN}.livenessProbe.terminationGracePeriodSeconds",
            "0 is not between 1 and 2147483647",
        ),
        (
            one(livenessProbe={**EXEC, "periodSeconds": -1}),
            f"{MAIN}.livenessProbe.periodSeconds",
            "-1 is not between 0 and 2147483647",
        ),
        (one(livenessProbe={"httpGet": {}}), f"{MAIN}.livenessProbe.httpGet.port", "is required"),
        (
            one(livenessProbe={"httpGet": {"port": 0}}),
            f"{MAIN}.livenessProbe.httpGet.port",
            "0 is not between 1 and 65535",
        ),
        (
            one(livenessProbe={"httpGet": {"port": "8080"}}),
            f"{MAIN}.livenessProbe.httpGet.port",
            "'8080' is not valid: lower-case letters, digits and '-' between them, at least one letter",
        ),
        (
            one(livenessProbe={"httpGet": {"port": "web"}}, ports=[{"containerPort": 1, "name": "a"}]),
            f"{MAIN}.livenessProbe.httpGet.port",
            "'web' is not the name of a port of this container; they are a",
        ),
        (
            one(livenessProbe={"tcpSocket": {"port": "web"}}),
            f"{MAIN}.livenessProbe.tcpSocket.port",
            "'web' is not the name of a port of this container; they are (none)",
        ),
        (
            one(livenessProbe={"httpGet": {"port": 1, "host": "example.com"}}),
            f"{MAIN}.livenessProbe.httpGet.host",
            f"'example.com' {STRANGER}",
        ),
        (
            one(livenessProbe={"tcpSocket": {"port": 1, "host": "10.0.0.1"}}),
            f"{MAIN}.livenessProbe.tcpSocket.host",
            f"'10.0.0.1' {STRANGER}",
        ),
        (
            one(livenessProbe={"httpGet": {"port": 1, "scheme": "http"}}),
            f"{MAIN}.livenessProbe.httpGet.scheme",
            "'http' is not one of HTTP, HTTPS",
        ),
        (
            one(livenessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}),
            f"{MAIN}.livenessProbe.httpGet.httpHeaders[0].name",
            "'a b' is not valid: letters, digits and '-'",
        ),
        (
            one(livenessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "b\r\nc: d"}]}}),
            f"{MAIN}.livenessProbe.httpGet.httpHeaders[0].value",
            "must not contain line breaks or other control characters",
        ),
        (one(livenessProbe=[]), f"{MAIN}.livenessProbe", "is a list, but must be an object (key: value)"),
        (hook(), f"{MAIN}.lifecycle.preStop", "must have exactly one of exec, httpGet, sleep"),
        (
            hook(sleep={"seconds": 31}),
            f"{MAIN}.lifecycle.preStop.sleep.seconds",
            "31 is more than terminationGracePeriodSeconds, 30",
        ),
        (one(lifecycle={"stopSignal": "SIGTERM"}), f"{MAIN}.lifecycle.stopSignal", "needs spec.os.name: linux"),
        (
            {**(found := one(lifecycle={"stopSignal": "TERM"})), "spec": {**found["spec"], "os": {"name": "linux"}}},
            f"{MAIN}.lifecycle.stopSignal",
            "'TERM' is not a signal such as SIGTERM, SIGUSR1 or SIGRTMIN+3",
        ),
        (rules({}, policy=None), f"{MAIN}.restartPolicy", "is required where there are restartPolicyRules"),
        (rules(policy="never"), f"{MAIN}.restartPolicy", "'never' is not one of Always, OnFailure, Never"),
        (rules({"exitCodes": CODES}), f"{MAIN}.restartPolicyRules[0].action", "is required"),
        (
            rules({"action": "RestartAllContainers", "exitCodes": CODES}),
            f"{MAIN}.restartPolicyRules[0].action",
            "is not possible at a site; use Restart, or let the pod end and its owner make a new one",
        ),
        (
            rules({"action": "Ignore", "exitCodes": CODES}),
            f"{MAIN}.restartPolicyRules[0].action",
            "'Ignore' is not one of Restart",
        ),
        (rules({"action": "Restart"}), f"{MAIN}.restartPolicyRules[0].exitCodes", "is required"),
        (
            rules({"action": "Restart", "exitCodes": {"values": [1]}}),
            f"{MAIN}.restartPolicyRules[0].exitCodes.operator",
            "is required",
        ),
        (
            rules({"action": "Restart", "exitCodes": {"operator": "in"}}),
            f"{MAIN}.restartPolicyRules[0].exitCodes.operator",
            "'in' is not one of In, NotIn",
        ),
        (
            rules({"action": "Restart", "exitCodes": {"operator": "In", "values": [1] * 256}}),
            f"{MAIN}.restartPolicyRules[0].exitCodes.values",
            "has 256 codes; at most 255 are allowed",
        ),
        (
            rules({"action": "Restart", "exitCodes": {"operator": "In", "values": [None]}}),
            f"{MAIN}.restartPolicyRules[0].exitCodes.values[0]",
            "is null, but must be a whole number",
        ),
        (
            rules(*[{"action": "Restart", "exitCodes": CODES}] * 21),
            f"{MAIN}.restartPolicyRules",
            "has 21 rules; at most 20 are allowed",
        ),
        (
            pod(initContainers=[container(name="i", livenessProbe=EXEC)]),
            "spec.initContainers[0].livenessProbe",
            "must not be set for an init container without restartPolicy: Always",
        ),
        (
            pod(initContainers=[container(name="i", restartPolicy="OnFailure", lifecycle={})]),
            "spec.initContainers[0].lifecycle",
            "must not be set for an init container without restartPolicy: Always",
        ),
        (
            one(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
            f"{MAIN}.ports[1].name",
            "'a' is already the name of another port",
        ),
        *(
            (
                one(ports=[{"containerPort": 1, "name": name}]),
                f"{MAIN}.ports[0].name",
                f"{name!r} is not valid: lower-case letters, digits and '-' between them, at least one letter",
            )
            for name in ("-a", "a-", "a--b", "1", "A", "a_b")
        ),
        (
            one(ports=[{"containerPort": 1, "name": "a" * 16}]),
            f"{MAIN}.ports[0].name",
            "has 16 characters; at most 15 are allowed",
        ),
        (
            one(ports=[{"containerPort": 80, "hostPort": 8080}]),
            f"{MAIN}.ports[0].hostPort",
            "must be containerPort, 80: containers use the network of the host they run on",
        ),
        (
            one(ports=[{"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 80}]),
            f"{MAIN}.ports[1].hostPort",
            "80 is already taken by another port of this pod",
        ),
    ],
)
def test_refused(document: Any, field: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_pod(document)
    assert (caught.value.field, caught.value.problem) == (field, problem)
