"""A stage of scenarios that are created through the API server, and judged by what it says of them."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import httpx

from farnode import Client, FarnodeError, Invalid, NotFound, Pod
from farnode.model.api import PodView
from farnode.node.controller import EVENTS
from tests.node.stack import NODE
from tests.scenarios.observe import story
from tests.scenarios.stacks import Stack
from tests.scenarios.stage import Stage
from tests.sites import GatewaySite
from tests.sites.site import ADMIN as ADMINISTRATOR
from tests.testbed.kubernetes import ControlPlane
from tests.testbed.kubernetes.plane import ADMIN

Json = dict[str, Any]
OVER = ("Succeeded", "Failed")
PAUSE = 0.1


class Cluster:
    """The part of `Client` that declared scenarios use, over the API server. Threads may share it."""

    def __init__(self, plane: ControlPlane, patience: float) -> None:
        self._patience = patience
        self._http = httpx.Client(base_url=plane.url, verify=_tls(plane), timeout=60.0)
        self._places: dict[str, tuple[str, str]] = {}
        self._namespaces = {"default"}
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    def create(self, documents: Iterable[Json], namespace: str) -> Pod:
        """The pod and what stands beside it, all in one namespace, which is made where there is none."""
        pod, *objects = documents
        self._make(namespace)
        for document in objects:
            self._call("POST", f"/api/v1/namespaces/{namespace}/{document['kind'].lower()}s", document)
        if account := pod["spec"].get("serviceAccountName"):
            self._call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
        made = self._call("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        uid = made["metadata"]["uid"]
        self._places[uid] = namespace, made["metadata"]["name"]
        return _as_pod(made, [])

    def pod(self, pod: Pod | str) -> Pod:
        uid = pod if isinstance(pod, str) else pod.uid
        namespace, name = self._places[uid]
        found = self._call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        query = f"?fieldSelector=involvedObject.uid={uid}"
        return _as_pod(found, self._call("GET", f"/api/v1/namespaces/{namespace}/events{query}")["items"])

    def wait(self, pod: Pod | str) -> Pod:
        deadline = time.monotonic() + self._patience
        while not (now := self.pod(pod)).ended:
            assert time.monotonic() < deadline, story(now)
            time.sleep(PAUSE)
        return now

    def logs(self, pod: Pod | str, container: str | None = None, **options: Any) -> Iterator[bytes]:
        """Through the API server, from the kubelet API of the node."""
        assert not options, "no scenario asks for more"
        namespace, name = self._places[pod if isinstance(pod, str) else pod.uid]
        query = {"container": container} if container else {}
        answer = self._http.get(f"/api/v1/namespaces/{namespace}/pods/{name}/log", params=query)
        if answer.is_error:
            raise FarnodeError(answer.text)
        yield answer.content

    def _make(self, namespace: str) -> None:
        with self._lock:
            if namespace in self._namespaces:
                return
            self._call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
            while self._http.get(account).is_error:  # no pod is admitted without it
                time.sleep(PAUSE)
            self._namespaces.add(namespace)

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = self._http.request(method, path, json=body)
        if answer.status_code == 404:
            raise NotFound(answer.text)
        if answer.is_error:
            raise FarnodeError(answer.text)
        found: Json = answer.json()
        return found


class ClusterStage(Stage):
    """Scenes of a site that is a node of a cluster. Events come when there is time for them, so all that the site noted
    is waited for."""

    def __init__(self, site: GatewaySite, stack: Stack, plane: ControlPlane) -> None:
        super().__init__(site, stack)
        self.client.close()
        self.cluster = Cluster(plane, site.patience)
        self.administrator = site.client(ADMINISTRATOR)
        self.client = cast("Client", self.cluster)

    def told(self, pod: Pod) -> Pod:
        """The pod when each reason that the site noted is that of an Event."""
        noted = {EVENTS.get(note["reason"], note["reason"]) for note in self.administrator.pod(pod.uid).notes}
        return self.until(pod, lambda now: noted <= {note["reason"] for note in now.notes}, f"tells of {noted}")

    def submit(self, documents: Iterable[Mapping[str, Any]], *, fit: bool = True) -> Pod:
        """Bound to the node by name: nothing here is about where a scheduler puts it. What comes with other objects has
        a namespace of its own, for many have one of the same name."""
        whole = list(documents)
        pod, *objects = self.fitted(whole) if fit else self.site.fitted(whole)
        own = f"with-{pod['metadata']['name']}" if objects else "default"
        namespace = pod["metadata"].get("namespace", own)
        bound = {**pod, "spec": {**pod["spec"], "nodeName": NODE}}
        made = self.cluster.create([bound, *(_moved(one, namespace) for one in objects)], namespace)
        return made if fit else self._refused(made)

    def _refused(self, pod: Pod) -> Pod:
        """As a client hears of it; the pod, where it is not refused."""
        ended = self.cluster.wait(pod)
        if ended.reason == "SiteRefused":
            raise Invalid(*ended.message.split(": ", 1))
        return ended


def _moved(document: Json, namespace: str) -> Json:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


def _as_pod(pod: Json, events: list[Json]) -> Pod:
    metadata, status = pod["metadata"], pod["status"]
    view = {
        "uid": metadata["uid"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "ended": status.get("phase") in OVER,
        "status": status,
        "notes": [{"reason": event["reason"], "message": event.get("message", "")} for event in events],
        "pod": pod,
    }
    return Pod(cast("PodView", view))


def _tls(plane: ControlPlane) -> ssl.SSLContext:
    """An administrator's, who is known by a certificate."""
    context = ssl.create_default_context(cafile=plane.authority)
    context.load_cert_chain(plane.directory / f"{ADMIN}.crt", plane.directory / f"{ADMIN}.key")
    return context
