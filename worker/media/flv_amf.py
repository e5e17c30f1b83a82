"""AMF0, the values of FLV metadata and of RTMP commands (Adobe, AMF 0 specification, 2007).

Reading is for what servers send: bounded in depth, and anything odd is a ValueError.
"""

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum

AmfValue = float | bool | str | None | Mapping[str, "AmfValue"] | Sequence["AmfValue"]

MAX_DEPTH = 8

_END = b"\x00\x00\x09"


class _Kind(IntEnum):
    NUMBER = 0
    BOOLEAN = 1
    STRING = 2
    OBJECT = 3
    NULL = 5
    UNDEFINED = 6
    ECMA_ARRAY = 8
    OBJECT_END = 9
    STRICT_ARRAY = 10
    DATE = 11
    LONG_STRING = 12


def amf_bytes(*values: AmfValue) -> bytes:
    """*values* one after the other; a mapping becomes an object."""
    return b"".join(_encoded(value) for value in values)


def amf_ecma_array(values: Mapping[str, AmfValue]) -> bytes:
    """*values* in the form that FLV metadata has."""
    return struct.pack(">BI", _Kind.ECMA_ARRAY, len(values)) + _properties(values)


def read_amf(data: bytes) -> list[AmfValue]:
    """Every value in *data*. Raises ValueError."""
    values: list[AmfValue] = []
    reader = _Reader(data)
    while reader.position < len(data):
        values.append(reader.value(0))
    return values


def _encoded(value: AmfValue) -> bytes:
    match value:
        case bool():
            return struct.pack(">BB", _Kind.BOOLEAN, value)
        case int() | float():
            return struct.pack(">Bd", _Kind.NUMBER, value)
        case str():
            text = value.encode()
            if len(text) > 0xFFFF:
                return struct.pack(">BI", _Kind.LONG_STRING, len(text)) + text
            return struct.pack(">BH", _Kind.STRING, len(text)) + text
        case None:
            return bytes((_Kind.NULL,))
        case Mapping():
            return bytes((_Kind.OBJECT,)) + _properties(value)
        case _:
            items = b"".join(_encoded(item) for item in value)
            return struct.pack(">BI", _Kind.STRICT_ARRAY, len(value)) + items


def _properties(values: Mapping[str, AmfValue]) -> bytes:
    named = ((name.encode(), value) for name, value in values.items())
    return (
        b"".join(struct.pack(">H", len(name)) + name + _encoded(value) for name, value in named)
        + _END
    )


class _Reader:
    """Walks over one buffer; every step is checked against its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> AmfValue:
        if depth > MAX_DEPTH:
            raise ValueError("AMF values are nested too deeply")
        kind = self._take(1)[0]
        match kind:
            case _Kind.NUMBER:
                return float(struct.unpack(">d", self._take(8))[0])
            case _Kind.BOOLEAN:
                return self._take(1) != b"\0"
            case _Kind.STRING:
                return self._text(2)
            case _Kind.OBJECT:
                return self._object(depth)
            case _Kind.NULL | _Kind.UNDEFINED:
                return None
            case _Kind.ECMA_ARRAY:
                self._take(4)  # a hint of the number of entries, which may be wrong
                return self._object(depth)
            case _Kind.STRICT_ARRAY:
                return [self.value(depth + 1) for _ in range(self._count(4))]
            case _Kind.DATE:
                stamp = float(struct.unpack(">d", self._take(8))[0])
                self._take(2)  # time zone, unused
                return stamp
            case _Kind.LONG_STRING:
                return self._text(4)
            case _:
                raise ValueError("an AMF value of unknown kind")

    def _object(self, depth: int) -> dict[str, AmfValue]:
        found: dict[str, AmfValue] = {}
        while True:
            name = self._text(2)
            if not name and self._data[self.position : self.position + 1] == _END[2:]:
                self.position += 1
                return found
            found[name] = self.value(depth + 1)

    def _count(self, size: int) -> int:
        count = int.from_bytes(self._take(size), "big")
        if count > len(self._data) - self.position:
            raise ValueError("an AMF value is cut off")
        return count

    def _text(self, size: int) -> str:
        return self._take(self._count(size)).decode("utf-8", "replace")

    def _take(self, size: int) -> bytes:
        taken = self._data[self.position : self.position + size]
        if len(taken) < size:
            raise ValueError("an AMF value is cut off")
        self.position += size
        return taken
