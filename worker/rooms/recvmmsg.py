"""Many datagrams of one socket with a single system call, each with the kernel's time stamp.

`recvmmsg` is called through ctypes with the interpreter lock held: it never waits here, and
giving the lock away for some microseconds may cost milliseconds until it comes back.
"""

import ctypes
import socket
import sys
from struct import Struct, calcsize
from typing import Any

from worker.core.timing import NS_PER_S

BATCH_DATAGRAMS = 64
DATAGRAM_BYTES = 2048
"""A longer datagram arrives cut to this, which is still too long to be taken for one of ours."""
_NAME_BYTES = 32  # room for a sockaddr_in6
_CONTROL_BYTES = 64  # a time stamp takes 32, the overflow count 24
_MAX_ADDRESSES = 1024
_STAMP_BYTES = 32

_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
# cmsg_level and cmsg_type of the two, read as one little-endian integer of 64 bits.
_IS_STAMP = socket.SOL_SOCKET | _SO_TIMESTAMPNS << 32
_IS_OVERFLOW = socket.SOL_SOCKET | _SO_RXQ_OVFL << 32
_SOCKADDR_IN = Struct("!2xH4s")
_SOCKADDR_IN6 = Struct("!2xHI16s")

Address = tuple[Any, ...]
Datagram = tuple[bytes, Address, int | None]
"""What came, from where (as `socket.recvfrom` says it), and when by the wall clock in ns."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """`struct mmsghdr` of Linux on machines of 64 bits."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("_end_of_msghdr", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("_end_of_mmsghdr", ctypes.c_uint32),
    )


_HEADER_BYTES = ctypes.sizeof(_Header)
_HEADER_WORDS = _HEADER_BYTES // 4
_NAME_LENGTH, _CONTROL_LENGTH, _LENGTH = (
    field.offset // 4 for field in (_Header.name_length, _Header.control_length, _Header.length)
)
"""Where the lengths are, in words of 32 bits."""


def is_available() -> bool:
    """Whether this system has the call, laid out as it is used here."""
    return (
        sys.platform == "linux"
        and sys.byteorder == "little"
        and calcsize("P") == 8
        and hasattr(ctypes.PyDLL(None), "recvmmsg")
    )


class Batch:
    """Buffers for one batch, used again and again. Only where `is_available`."""

    def __init__(self) -> None:
        self.overflowed: int | None = None
        """Datagrams the kernel dropped for want of room since the socket was opened, modulo
        2**32; None when the last batch did not say (so none before the first drop)."""
        count = BATCH_DATAGRAMS
        payloads = ctypes.create_string_buffer(count * DATAGRAM_BYTES)
        names = ctypes.create_string_buffer(count * _NAME_BYTES)
        controls = ctypes.create_string_buffer(count * _CONTROL_BYTES)
        vectors = (_Vector * count)()
        headers = (_Header * count)()
        for index in range(count):
            vectors[index].base = ctypes.addressof(payloads) + index * DATAGRAM_BYTES
            vectors[index].length = DATAGRAM_BYTES
            header = headers[index]
            header.name = ctypes.addressof(names) + index * _NAME_BYTES
            header.name_length = _NAME_BYTES
            header.vectors = ctypes.addressof(vectors) + index * ctypes.sizeof(_Vector)
            header.vector_count = 1
            header.control = ctypes.addressof(controls) + index * _CONTROL_BYTES
            header.control_length = _CONTROL_BYTES
        self._keep = vectors
        self._payloads = memoryview(payloads).cast("B")
        self._names = memoryview(names).cast("B")
        self._controls = memoryview(controls).cast("B").cast("Q")
        self._headers = memoryview(headers).cast("B")
        self._words = self._headers.cast("I")
        self._blank = bytes(self._headers)
        self._headers_at = ctypes.addressof(headers)
        self._call = ctypes.PyDLL(None).recvmmsg
        self._call.argtypes = (
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self._addresses: dict[bytes, Address] = {}

    def receive(self, descriptor: int) -> list[Datagram]:
        """What waits at *descriptor*, at most `BATCH_DATAGRAMS`, oldest first.

        Nothing when nothing waits or the socket reports an error, which is thereby cleared.
        """
        count = self._call(descriptor, self._headers_at, BATCH_DATAGRAMS, socket.MSG_DONTWAIT, None)
        self.overflowed = None
        if count <= 0:
            return []
        words, payloads, names, controls = self._words, self._payloads, self._names, self._controls
        datagrams: list[Datagram] = []
        for index in range(count):
            word = _HEADER_WORDS * index
            name = _NAME_BYTES * index
            raw = bytes(names[name : name + words[word + _NAME_LENGTH]])
            address = self._addresses.get(raw) or self._learn(raw)
            stamp_ns = None
            control_length = words[word + _CONTROL_LENGTH]
            if control_length >= _STAMP_BYTES:
                control = 8 * index
                if controls[control + 1] == _IS_STAMP:
                    stamp_ns = controls[control + 2] * NS_PER_S + controls[control + 3]
                if control_length > _STAMP_BYTES and controls[control + 5] == _IS_OVERFLOW:
                    self.overflowed = controls[control + 6] & 0xFFFFFFFF
            at = DATAGRAM_BYTES * index
            end = at + words[word + _LENGTH]
            datagrams.append((bytes(payloads[at:end]), address, stamp_ns))
        used = _HEADER_BYTES * count
        self._headers[:used] = self._blank[:used]  # the kernel wrote lengths into them
        return datagrams

    def _learn(self, raw: bytes) -> Address:
        if len(self._addresses) >= _MAX_ADDRESSES:
            self._addresses.clear()
        address = self._addresses[raw] = _read_address(raw)
        return address


def prepare(udp: socket.socket) -> None:
    """Have the kernel stamp what arrives at *udp* and count what it has to drop there."""
    for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
        udp.setsockopt(socket.SOL_SOCKET, option, 1)


def _read_address(raw: bytes) -> Address:
    family = int.from_bytes(raw[:2], sys.byteorder)
    if family == socket.AF_INET:
        port, host = _SOCKADDR_IN.unpack_from(raw)
        return socket.inet_ntop(family, host), port
    port, flow, host = _SOCKADDR_IN6.unpack_from(raw)
    return socket.inet_ntop(family, host), port, flow, int.from_bytes(raw[24:28], sys.byteorder)
