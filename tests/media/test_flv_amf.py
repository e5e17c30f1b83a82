"""AMF0 as bytes, against the specification and against nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.media.flv_amf import MAX_DEPTH, amf_bytes, amf_ecma_array, read_amf

SCALARS = some.none() | some.booleans() | some.floats(allow_nan=False) | some.text(max_size=20)
NAMES = some.text(min_size=1, max_size=10)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    [
        (1.0, "00 3ff0000000000000"),
        (True, "01 01"),
        ("live", "02 0004 6c697665"),
        (None, "05"),
        ({"a": 2.0}, "03 0001 61 00 4000000000000000 000009"),
        ([None], "0a 00000001 05"),
    ],
)
def test_values_are_written_as_the_specification_has_them(value, hexadecimal):
    assert amf_bytes(value) == bytes.fromhex(hexadecimal)


def test_metadata_is_an_array_with_names():
    data = amf_ecma_array({"width": 320})

    assert data == bytes.fromhex("08 00000001 0005 7769647468 00 4074000000000000 000009")
    assert read_amf(data) == [{"width": 320.0}]


def test_a_long_text_has_a_long_length():
    text = "x" * 70_000

    assert amf_bytes(text)[:5] == bytes.fromhex("0c 00011170")
    assert read_amf(amf_bytes(text)) == [text]


def test_dates_and_undefined_values_of_servers_are_read():
    assert read_amf(bytes.fromhex("0b 3ff0000000000000 0000 06")) == [1.0, None]


@given(some.lists(VALUES, max_size=4))
def test_what_is_written_is_read_again(values):
    assert read_amf(amf_bytes(*values)) == values


@given(some.binary(max_size=200))
def test_nonsense_is_a_value_error_or_values(data):
    try:
        read_amf(data)
    except ValueError:
        pass


@given(some.lists(VALUES, min_size=1, max_size=3), some.data())
def test_values_that_are_cut_off_are_a_value_error_or_fewer(values, data):
    whole = amf_bytes(*values)
    cut = whole[: data.draw(some.integers(0, len(whole) - 1))]
    try:
        assert len(read_amf(cut)) < len(values)
    except ValueError:
        pass


def test_deep_nests_and_large_counts_are_refused_at_once():
    with pytest.raises(ValueError, match="nested"):
        read_amf(bytes.fromhex("0a00000001") * (MAX_DEPTH + 2) + b"\5")
    with pytest.raises(ValueError, match="cut off"):
        read_amf(bytes.fromhex("0a ffffffff 05"))
