from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farnode.errors import Invalid
from farnode.model.quantity import LARGEST, NANO, Form, Quantity

DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("-1", "-1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("0.1m", "100u"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("100000", "100k"),
        ("123456", "123456"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e6", "12e6"),
        ("1.5e3", "1500"),
        ("1e-3", "1e-3"),
        ("1e+3", "1e3"),
        ("1E", "1E"),
        ("10k", "10k"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("1000Ki", "1000Ki"),
        ("0.5Ki", "512"),
        ("0.0001Ki", "102400u"),
        ("1.1Ki", "1126400m"),
        ("128974848", "128974848"),
        ("129M", "129M"),
        ("123Mi", "123Mi"),
        ("9Ei", str(LARGEST)),
        ("1e1000000000000", str(LARGEST) + "e0".removesuffix("e0")),
        ("1e-1000000000000", "1e-9"),
        ("0e1000000000000", "0"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert str(Quantity.parse(text)) == canonical


@pytest.mark.parametrize(("value", "canonical"), [(2, "2"), (0.5, "500m"), (1e21, str(LARGEST)), (1.5e3, "1500")])
def test_json_numbers(value: float, canonical: str) -> None:
    assert str(Quantity.parse(value)) == canonical


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "+", "1 Gi", "1gi", "1KI", "1K", "Gi", "1.2.3", "0x10", "1e", "1e3.5", "٣", "1" * 200, " 1", "1\n"),
        *(None, True, [], {}, float("nan"), float("inf")),
    ],
)
def test_refused(value: object) -> None:
    with pytest.raises(Invalid, match=r"a quantity such as 2, 0\.5, 500m.*4Gi") as caught:
        Quantity.parse(value, "spec.x")
    assert caught.value.field == "spec.x"


@pytest.mark.parametrize(
    ("text", "millicores", "whole"),
    [
        ("1", 1000, 1),
        ("0.5", 500, 1),
        ("0.1m", 1, 1),
        ("1500m", 1500, 2),
        ("-1500m", -1500, -2),
        ("1Ki", 1024000, 1024),
    ],
)
def test_rounding_is_up(text: str, millicores: int, whole: int) -> None:
    quantity = Quantity.parse(text)
    assert (quantity.millicores, quantity.whole) == (millicores, whole)


def test_order_is_by_amount() -> None:
    assert Quantity.parse("1Ki") == Quantity.parse("1024")
    assert Quantity.parse("999") < Quantity.parse("1k") < Quantity.parse("1Ki")


@given(st.integers(-LARGEST * NANO, LARGEST * NANO), st.sampled_from(Form))
def test_round_trip_of_any_amount(nanos: int, form: Form) -> None:
    quantity = Quantity(nanos, form)
    again = Quantity.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)
    assert "." not in str(quantity)


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.sampled_from(sorted(DECIMAL)))
def test_amount_is_exact(whole: int, fraction: int, suffix: str) -> None:
    amount = Fraction(f"{whole}.{fraction:06}") * Fraction(10) ** DECIMAL[suffix] * NANO
    expected = min(-(-amount.numerator // amount.denominator), LARGEST * NANO)
    assert Quantity.parse(f"{whole}.{fraction:06}{suffix}").nanos == expected


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_invalid(text: str) -> None:
    with contextlib.suppress(Invalid):
        Quantity.parse(text)
