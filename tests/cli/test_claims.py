"""farnode claims, as a person types it."""

from __future__ import annotations

import json

from farnode.model.api import ClaimView
from farnode.model.times import rfc3339
from tests.cli.conftest import Shell


def view(name: str, **fields: object) -> ClaimView:
    usual = {"namespace": "default", "owner": "alice", "storageClass": "scratch", "size": 3 << 29, "usedBy": []}
    made = {"createdAt": rfc3339(0.0), "reclaim": "delete", "ready": True, "deleting": False, "path": f"/s/{name}"}
    return {**usual, **made, "name": name, **fields}  # type: ignore[typeddict-item]


def test_a_list_of_claims(shell: Shell) -> None:
    shell.gateway.state.claims_kept = [
        view("bound", usedBy=["a"]),
        view("pending", ready=False, usedBy=["a", "b"]),
        view("going", deleting=True),
    ]
    rows = [line.split() for line in shell("claims").stdout.splitlines()]
    assert rows[0][:5] == ["NAMESPACE", "NAME", "STATUS", "CLASS", "SIZE"]
    assert [(row[1], row[2], row[4], " ".join(row[5:7])) for row in rows[1:]] == [
        ("bound", "Bound", "1.5Gi", "1 pod"),
        ("pending", "Pending", "1.5Gi", "2 pods"),
        ("going", "Terminating", "1.5Gi", "0 pods"),
    ]
    assert [one["name"] for one in json.loads(shell("claims", "-o", "json").stdout)] == ["bound", "pending", "going"]


def test_no_claims(shell: Shell) -> None:
    assert shell("claims").stdout.split()[:2] == ["NAMESPACE", "NAME"]


def test_claims_are_deleted_by_name(shell: Shell) -> None:
    shell.gateway.state.claims_kept = [view("one"), view("two", reclaim="retain"), view("three", namespace="lab")]
    done = shell("claims", "delete", "one", "two")
    assert done.stdout == "claim default/one deleted\nclaim default/two deleted; /s/two is kept\n"
    assert shell("claims", "delete", "-n", "lab", "three", "--owner", "bob").exit_code == 0
    gone = shell("claims", "delete", "one")
    assert (gone.exit_code, gone.stderr) == (1, "error: there is no claim default/one\n")
    assert shell("claims", "delete").exit_code == 2
