"""What the API server's refusals become."""

from __future__ import annotations

from typing import Any

import pytest

from farnode.errors import Denied, FarnodeError, Invalid, NotFound, Permanent, Transient
from farnode.node.kube.failures import Conflict, Expired, TooNew, failure, status_of


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (405, Permanent),
        (409, Conflict),
        (410, Expired),
        (413, Permanent),
        (429, Transient),
        (500, Transient),
        (503, Transient),
        (504, Transient),
    ],
)
def test_each_code_is_one_error(code: int, kind: type[FarnodeError]) -> None:
    found = failure(code, {"message": "words"})
    assert type(found) is kind
    assert str(found) == "words"


def test_invalid_names_the_first_field() -> None:
    causes = [{"message": "is wrong"}, {"field": "spec.a", "message": "too long"}, {"field": "spec.b"}]
    found = failure(422, {"message": "Pod x is invalid", "details": {"causes": causes}})
    assert isinstance(found, Invalid)
    assert (found.field, str(found)) == ("spec.a", "spec.a: Pod x is invalid")


@pytest.mark.parametrize("reason", ["AlreadyExists", "Conflict"])
def test_a_conflict_says_which(reason: str) -> None:
    found = failure(409, {"message": "no", "reason": reason})
    assert isinstance(found, Conflict)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [("7", {"retryAfterSeconds": 3}, 7), (None, {"retryAfterSeconds": 3}, 3), (None, {}, None), ("soon", {}, None)],
)
def test_when_to_come_again(header: str | None, details: dict[str, Any], seconds: float | None) -> None:
    found = failure(429, {"message": "slow down", "details": details}, header)
    assert isinstance(found, Transient)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (504, {"message": "Timeout", "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}),
        (500, {"message": "Timeout: Too large resource version: 9, current: 3"}),
    ],
)
def test_a_version_from_the_future_is_told_from_other_timeouts(code: int, status: dict[str, Any]) -> None:
    assert isinstance(failure(code, status), TooNew)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"message":"gone","code":410}', "gone"),
        (b"<html>502 Bad Gateway</html>", "<html>502 Bad Gateway</html>"),
        (b"[1]", "[1]"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_what_is_no_status_is_quoted(content: bytes, message: str) -> None:
    assert status_of(content)["message"] == message


def test_an_empty_answer_still_has_words() -> None:
    assert str(failure(502, status_of(b""))) == "the API server answered 502"


def test_details_that_are_no_object_do_no_harm() -> None:
    assert isinstance(failure(422, {"message": "m", "details": "text"}), Invalid)
