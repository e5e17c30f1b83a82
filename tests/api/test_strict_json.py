import pytest

from worker.api.wire.strict_json import MAX_DOCUMENT_BYTES, child, decode
from worker.errors import InvalidField


def test_plain_json_is_read_from_text_and_from_bytes() -> None:
    text = '{"a": [1, -2.5, true, null, "\\ud83d\\ude00 ☃"], "b": {}}'
    expected = {"a": [1, -2.5, True, None, "😀 ☃"], "b": {}}
    assert decode(text) == expected
    assert decode(text.encode()) == expected


@pytest.mark.parametrize("depth", [0, 1, 32])
def test_documents_may_be_nested_32_levels_deep(depth: int) -> None:
    text = "[" * depth + "7" + "]" * depth
    assert str(decode(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "document: is not JSON: Expecting value (line 1, column 1)"),
        (b"", "document: is not JSON: Expecting value (line 1, column 1)"),
        ("{\n  'a': 1}", "document: is not JSON: "),
        ('{"a": 1} // comment', "document: is not JSON: Extra data (line 1, column 10)"),
        ('{"a": 1,}', "document: is not JSON: "),
        ("\ufeff{}", "document: is not JSON: Unexpected UTF-8 BOM"),
        (b"\xef\xbb\xbf{}", "document: is not JSON: Unexpected UTF-8 BOM"),
        ('{"a": "\n"}', "document: is not JSON: Invalid control character"),
        (b'{"a": "\xff"}', "document: is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "document: is not UTF-8"),
        ('{"a": "\ud800"}', "document: is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "document: is not UTF-8"),
        (b'"' + b"x" * MAX_DOCUMENT_BYTES, "document: is longer than 1048576 bytes"),
        ("☃" * (MAX_DOCUMENT_BYTES // 3 + 1), "document: is longer than 1048576 bytes"),
        ('{"a": {"b": 1, "c": 2, "b": 1}}', "a.b: is there twice"),
        ('[{"": 1, "": 2}]', "[0].'': is there twice"),
        ('{"a": NaN}', "a: is not a number of at most 2^53"),
        ('{"a": [0, Infinity]}', "a[1]: is not a number of at most 2^53"),
        ("-Infinity", "document: is not a number of at most 2^53"),
        ('{"a": 1e400}', "a: is not a number of at most 2^53"),
        ('{"a": -1e400}', "a: is not a number of at most 2^53"),
        ('{"a": 9007199254740993}', "a: is not a number of at most 2^53"),
        ('{"a": ' + "9" * 5000 + "}", "a: is not a number of at most 2^53"),
        ('{"a": "\\ud800"}', "a: has characters that are not text"),
        ('"\\udc00x"', "document: has characters that are not text"),
        ('{"a": ["x\\u0000y"]}', "a[0]: has characters that are not text"),
        ('{"a": {"\\ud800": 1}}', "a.'\\ud800': has characters that are not text"),
        ("[" * 33 + "]" * 33, "[0]" * 32 + ": is nested more than 32 levels deep"),
        ("[" * 100_000, "document: is nested more than 32 levels deep"),
        ('{"a":' * 100_000, "document: is nested more than 32 levels deep"),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str | bytes, complaint: str) -> None:
    with pytest.raises(InvalidField) as refused:
        decode(text)
    assert str(refused.value).startswith(complaint)
    str(refused.value).encode()  # can be printed anywhere


def test_the_largest_document_is_read() -> None:
    text = '"' + "x" * (MAX_DOCUMENT_BYTES - 2) + '"'
    assert decode(text) == text[1:-1]


def test_the_largest_number_is_read() -> None:
    assert decode("[9007199254740992, -9007199254740992]") == [2**53, -(2**53)]


def test_paths_are_printable_and_short_whatever_the_key() -> None:
    assert child("", "a") == "a"
    assert child("a.b", 3) == "a.b[3]"
    assert child("a", "x\n\u202e") == r"a.'x\n\u202e'"
    assert child("a", "x" * 1000) == "a." + "x" * 64
