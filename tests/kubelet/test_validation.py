"""Which pods are taken: our validation beside a real API server's, for every value in every place of a pod.

What the API server refuses, we refuse, but for `LENIENT`. What it takes, we take, or refuse for a reason in `STRICTER`:
a site cannot give it, or a kubelet could not either and would try for ever.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.pod import parse_pod
from tests.kubelet.kubelet import program
from tests.model.test_fuzz import FULL, places

pytestmark = pytest.mark.system

Json = dict[str, Any]
NUMBERS: list[Any] = [None, True, -1, 0, 1, 5, 2**31]
TEXTS = ["", "a", "A", "a/b", "/a", "..", "../a", "8080", "-1", "1Gi", "::1", "x" * 300]
WORDS = ["Always", "Never", "In", "Exists", "SIGTERM", "linux", "Memory", "IfPossible", "HTTPS", "Block"]
SHAPES: list[Any] = [[], {}, ["a"], [None], {"a": "b"}]
ABSENT = object()
LENIENT = (
    r"Go struct field \S*\.(capabilities|drop)",  # harmless fields are not looked into
    r"(stopSignal|restartPolicy): Unsupported value: \"\"",  # empty text is as good as absent
    r"must not be specified when serviceAccountName is not set",  # which a pod from a cluster always has
)
STRICTER = (
    r"^(apiVersion|kind): must be",  # the API server tells these by the address it is asked at
    r"^metadata\.(uid|annotations\[farnode)",
    r"is null, but must be (text|a whole number)$|^spec\S*\]: is not a quantity",  # null for zero
    r"is not this pod: probes",
    r"is not the name of a port of this container",
    r"is not a container of this pod$",
    r"must be containerPort",
    r"^spec.volumes\[5\].hostPath.path: .* must be an absolute path$",
    r"mountPath: must not contain",
    r"mountPath: .* is already the path of another mount$",
    r"two files have the path|is a file, and so cannot hold",
    r"^spec\.volumes\S*(name|secretName|claimName|key): .* (is not valid|characters)",  # no such object can exist
    r"^spec\.containers\[0\]\.env\S*(name|key): .* (is not valid|characters)",
    r"^spec\.(volumes\[\d\]|volumes\[7\]\.projected\.sources\[\d\]): must have exactly one of",
    r"erminationGracePeriodSeconds: 2147483648 is not between",
    r"is longer than 4096 bytes, or a part of it than 255",
    r"volumeMode: 'Block' is not one of Filesystem$",
    r"storageClassName: is empty",
)


def pods() -> Iterator[Json]:
    whole = FULL["pod"]
    yield whole
    for place in places(whole)[1:]:
        for value in (*NUMBERS, *TEXTS, *WORDS, *SHAPES, ABSENT):
            changed = copy.deepcopy(whole)
            target: Any = changed
            for key in place[:-1]:
                target = target[key]
            if value is ABSENT:
                del target[place[-1]]
            else:
                target[place[-1]] = value
            yield changed


def refusals(documents: list[Json]) -> list[str]:
    """What the API server says of each, "" where it takes it."""
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    done = subprocess.run([program("apiserver")], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def ours(document: Json) -> str:
    try:
        parse_pod(document)
    except Invalid as error:
        return str(error)
    return ""


def is_one_of(words: str, patterns: tuple[str, ...]) -> bool:
    return any(re.search(pattern, words) for pattern in patterns)


def test_the_same_pods_are_taken() -> None:
    documents = list(pods())
    said = refusals(documents)
    assert len(said) == len(documents) > 5000
    pairs = [(ours(document), theirs) for document, theirs in zip(documents, said, strict=True)]
    assert pairs[0] == ("", "")
    assert {theirs for mine, theirs in pairs if theirs and not mine and not is_one_of(theirs, LENIENT)} == set()
    assert {mine for mine, theirs in pairs if mine and not theirs and not is_one_of(mine, STRICTER)} == set()
