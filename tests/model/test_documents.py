from __future__ import annotations

import json
from typing import Any

import pytest

from farnode.errors import Invalid
from farnode.model.bundle import parse_bundle
from farnode.model.documents import read_bundles
from farnode.model.manifest import MAX_DEPTH, read_values

from .samples import UID, pod

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec:
  containers:
  - name: main
    image: busybox
"""
USES = """\
    env:
    - {name: A, valueFrom: {configMapKeyRef: {name: settings, key: a}}}
    - {name: B, valueFrom: {secretKeyRef: {name: login, key: b}}}
"""
CONFIG = "kind: ConfigMap\nmetadata: {name: settings}\ndata: {a: '1'}\n"
SECRET = "kind: Secret\nmetadata: {name: login}\nstringData: {b: pass}\n"


def read(*texts: str) -> list[Any]:
    numbers = iter(range(1000))
    sources = [(f"file{index}.yaml", text) for index, text in enumerate(texts)]
    return read_bundles(sources, lambda: f"00000000-0000-4000-8000-{next(numbers):012}")


def test_a_pod_gets_a_uid() -> None:
    [bundle] = read(POD)
    assert bundle["pod"]["metadata"] == {"name": "hello", "uid": "00000000-0000-4000-8000-000000000000"}
    assert (bundle["configMaps"], bundle["secrets"]) == ([], [])
    parse_bundle(bundle)


def test_a_uid_that_is_there_is_kept() -> None:
    [bundle] = read(json.dumps(pod()))
    assert bundle["pod"]["metadata"]["uid"] == UID


def test_what_a_pod_refers_to_is_joined_also_across_files_and_the_rest_left_out() -> None:
    other = CONFIG.replace("settings", "unused")
    elsewhere = CONFIG.replace("name: settings", "name: settings, namespace: lab")
    [bundle] = read(f"{CONFIG}---\n{POD}{USES}---\n{other}---\n{elsewhere}", SECRET)
    assert [item["metadata"] for item in bundle["configMaps"]] == [{"name": "settings"}]
    assert [item["metadata"]["name"] for item in bundle["secrets"]] == ["login"]
    assert parse_bundle(bundle).secrets["login"].data == {"b": b"pass"}


def test_lists_and_json() -> None:
    second = pod(metadata={"name": "second", "uid": None})
    text = json.dumps({"kind": "List", "items": [pod(), second]}, indent="\t")
    assert [bundle["pod"]["metadata"]["name"] for bundle in read(text)] == ["hello", "second"]


def test_generate_name_gets_a_suffix_and_stays_short() -> None:
    [short, long] = read(
        POD.replace("name: hello", "generateName: run-"),
        POD.replace("name: hello", f"generateName: {'x' * 80}"),
    )
    assert short["pod"]["metadata"]["name"] == "run-xh4hb"
    assert len(long["pod"]["metadata"]["name"]) == 63
    assert short["pod"]["metadata"]["generateName"] == "run-"


def test_empty_documents_are_skipped() -> None:
    assert len(read(f"---\n---\n{POD}---\n# only a comment\n")) == 1
    assert read("", "# nothing") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-01", "2026-01-01"),
        ("a: 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("a: 02:30:00", "02:30:00"),
        ("a: 1:30", "1:30"),
        ("a: .inf", ".inf"),
        ("a: 0400", 256),
        ("a: 0o400", 256),
        ("a: 0x1F", 31),
        ("a: 1e3", 1000.0),
        ("a: .5", 0.5),
        ("a: 1.", 1.0),
        ("a: -3", -3),
        ("a: 0899", "0899"),
        ("a: yes", True),
        ("a: ~", None),
        ("a: 1.2.3", "1.2.3"),
        ("a: '5'", "5"),
        ("x: &x {b: 1}\na: {<<: *x, c: 2}", {"b": 1, "c": 2}),
        ("x: &x {b: 1}\na: {b: 3, <<: *x}", {"b": 3}),
    ],
)
def test_plain_values_are_read_as_kubectl_reads_them(text: str, value: object) -> None:
    [found] = read_values("x", text)
    assert found["a"] == value
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("a: 1\nb: [", "file0.yaml, line 2, column 5", "expected the node content"),
        ("a:\n\t- b", "file0.yaml, line 2, column 1", "cannot start any token"),
        ("a: 1\nb: 2\na: 3", "file0.yaml, line 3, column 1", "the key 'a' is given twice"),
        ('{"a": 1, "a": 2}', "file0.yaml", "the key 'a' is given twice"),
        ("1: a", "file0.yaml, line 1, column 1", "a key must be text: put it in quotes"),
        ("on: a", "file0.yaml, line 1, column 1", "a key must be text: put it in quotes"),
        ("a: !!binary aGk=", "file0.yaml, line 1, column 4", "could not determine a constructor"),
        ("a: !!python/object:os.system x", "file0.yaml, line 1, column 4", "could not determine a constructor"),
        ("a: &a [*a]", "file0.yaml", f"is nested more than {MAX_DEPTH} deep"),
        ("[" * 3000, "file0.yaml", "is nested more than"),
        ("a: \x01", "file0.yaml", "special characters are not allowed"),
        ("a: 1e999", "file0.yaml", "a number that is too large"),
        ('{"a": NaN}', "file0.yaml", "a number that is too large"),
        ("hello", "file0.yaml", "is the text 'hello', but must be an object"),
        ("- kind: Pod", "file0.yaml", "is a list, but must be an object"),
        ("metadata: {}", "file0.yaml: kind", "is required"),
        ("kind: Job\nmetadata: {name: x}", "file0.yaml: Job: kind", "wrap its spec.template into a Pod"),
        ("kind: Deployment", "file0.yaml: Deployment: kind", "is run by a cluster"),
        ("kind: Service", "file0.yaml: Service: kind", "it takes Pods, and with them ConfigMap, Secret, Pers"),
        ("kind: List\nitems: [{kind: Service}]", "file0.yaml: Service: kind", "cannot be handed to a site"),
        (POD + "    tty: 5\n", "file0.yaml: Pod hello: spec.containers[0].tty", "must be true or false"),
        (POD + "    args: [2026-01-01, 5]\n", "file0.yaml: Pod hello: spec.containers[0].args[1]", 'quote it ("5")'),
        (POD + USES, "file0.yaml: Pod hello: spec.containers[0].env[0].valueFrom", "needs the ConfigMap 'settings'"),
        (POD.replace("name: hello", ""), "file0.yaml: Pod: metadata.name", "is required"),
        (f"{POD}---\n{POD}", "file0.yaml: Pod hello", "there is already a Pod of this name in namespace 'default'"),
        (f"{CONFIG}---\n{CONFIG}", "file0.yaml: ConfigMap settings", "there is already a ConfigMap"),
    ],
)
def test_refused(text: str, field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    assert caught.value.field == field
    assert words in caught.value.problem


def test_a_few_lines_that_stand_for_billions_of_values_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(Invalid, match="stands for more than 1000000 values"):
        read("\n".join(lines))
