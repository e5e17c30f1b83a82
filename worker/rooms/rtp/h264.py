"""H.264 in RTP (RFC 6184): single NAL units, STAP-A and FU-A; frames leave as Annex B."""

from collections.abc import Iterator, Sequence

from worker.core.layout.geometry import Size
from worker.rooms.rtp.frames import AssembledFrame
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.sps import picture_size

_START_CODE = b"\0\0\0\1"
_IDR = 5
_SPS = 7
_PPS = 8
_DELIMITER = 9
_FILLER = 12
_STAP_A = 24
_FU_A = 28
_LAST_SINGLE = 23
_MAX_PARAMETER_SETS = 32
"""Kept, and taken of one frame: each is read bit by bit, which takes 10 µs and more."""
_MAX_UNITS = 2048
"""Of one frame, which has no more packets; one packet could hold hundreds of nothing."""


def _aggregated(payload: bytes) -> Iterator[bytes]:
    position = 1
    while position < len(payload):
        size = int.from_bytes(payload[position : position + 2], "big")
        unit = payload[position + 2 : position + 2 + size]
        if size == 0 or len(unit) != size:
            raise BadPacket("H.264 aggregation is cut off")
        yield unit
        position += 2 + size


def nal_units(payloads: Sequence[bytes]) -> Iterator[bytes]:
    """The NAL units of one access unit, in order. Raises `BadPacket`."""
    fragments: list[bytes] = []
    for payload in payloads:
        form = payload[0] & 0x1F
        if form == _FU_A:
            if len(payload) < 3:
                raise BadPacket("H.264 fragment is cut off")
            is_first, is_last = payload[1] & 0x80, payload[1] & 0x40
            if bool(is_first) == bool(fragments):
                raise BadPacket("H.264 fragments do not fit together")
            if is_first:
                fragments.append(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)))
            fragments.append(payload[2:])
            if is_last:
                yield from _split(b"".join(fragments))
                fragments = []
            continue
        if fragments:
            raise BadPacket("H.264 fragments do not fit together")
        if form == _STAP_A:
            for unit in _aggregated(payload):
                yield from _split(unit)
        elif 0 < form <= _LAST_SINGLE:
            yield from _split(payload)
        else:
            raise BadPacket(f"H.264 packetisation {form} is not supported")
    if fragments:
        raise BadPacket("H.264 fragments do not fit together")


def _split(unit: bytes) -> Sequence[bytes]:
    """*unit*, or the units it is to a decoder, which takes start codes in it for such.

    No unit may have them (ITU-T H.264, 7.4.1); without this, a parameter set could be hidden.
    Raises `BadPacket`.
    """
    start_codes = unit.count(b"\0\0\1")
    if start_codes > _MAX_UNITS:
        raise BadPacket("H.264 frame of too many units")
    return split_annex_b(unit) if start_codes else (unit,)


class H264Format:
    """`VideoFormat` of H.264; remembers parameter sets for keyframes that come without."""

    def __init__(self) -> None:
        self._parameter_sets: dict[bytes, bytes] = {}
        self._size: Size | None = None

    def starts_frame(self, payload: bytes) -> bool:
        """A delimiter or SPS can only be first; a slice alone does not tell."""
        return self._first_type(payload) in (_SPS, _DELIMITER)

    def starts_keyframe(self, payload: bytes) -> bool:
        if not payload:
            return False
        if payload[0] & 0x1F == _STAP_A:
            try:
                return any(unit[0] & 0x1F in (_SPS, _IDR) for unit in _aggregated(payload))
            except BadPacket:
                return False
        return self._first_type(payload) in (_SPS, _IDR)

    def assemble(self, payloads: Sequence[bytes]) -> AssembledFrame:
        units = []
        parameter_sets = 0
        has_idr = has_sps = False
        for number, unit in enumerate(nal_units(payloads)):
            form = unit[0] & 0x1F
            parameter_sets += form in (_SPS, _PPS)
            if number >= _MAX_UNITS or parameter_sets > _MAX_PARAMETER_SETS:
                raise BadPacket("H.264 frame of too many units")
            if form == _FILLER:
                continue
            if form == _SPS:
                has_sps = True
                self._size = picture_size(unit)
            if form in (_SPS, _PPS):
                self._remember(form, unit)
            has_idr = has_idr or form == _IDR
            units.append(unit)
        if not units:
            raise BadPacket("H.264 frame without data")
        if has_idr:
            if self._size is None:
                raise BadPacket("H.264 keyframe without parameter sets")
            if not has_sps:
                units[:0] = self._parameter_sets.values()
        data = _START_CODE + _START_CODE.join(units)
        return AssembledFrame(data, is_keyframe=has_idr, size=self._size if has_idr else None)

    def _remember(self, form: int, unit: bytes) -> None:
        """Keyed by type and the byte that holds the (small) id, SPS before PPS."""
        key = bytes((form,)) + (unit[4:5] if form == _SPS else unit[1:2])
        if key in self._parameter_sets or len(self._parameter_sets) < _MAX_PARAMETER_SETS:
            self._parameter_sets[key] = unit
            self._parameter_sets = dict(sorted(self._parameter_sets.items()))

    @staticmethod
    def _first_type(payload: bytes) -> int:
        """Type of the NAL unit that begins in *payload*; 0 when none does."""
        if not payload:
            return 0
        form = payload[0] & 0x1F
        if form == _STAP_A and len(payload) > 3:
            return payload[3] & 0x1F
        if form == _FU_A:
            return payload[1] & 0x1F if len(payload) > 1 and payload[1] & 0x80 else 0
        return form


def split_annex_b(data: bytes) -> list[bytes]:
    """NAL units of an Annex B byte stream, without start codes."""
    units = []
    for piece in data.split(b"\0\0\1"):
        unit = piece.rstrip(b"\0")
        if unit:
            units.append(unit)
    return units


def packetise_h264(access_unit: bytes, *, max_payload_bytes: int) -> list[bytes]:
    """RTP payloads of one Annex B access unit: small NAL units in STAP-A, large ones in FU-A."""
    payloads: list[bytes] = []
    group: list[bytes] = []

    def flush() -> None:
        if len(group) == 1:
            payloads.append(group[0])
        elif group:
            reference = max(unit[0] & 0x60 for unit in group)
            payloads.append(
                bytes((reference | _STAP_A,))
                + b"".join(len(unit).to_bytes(2, "big") + unit for unit in group)
            )
        group.clear()

    for unit in split_annex_b(access_unit):
        grouped = 1 + sum(2 + len(member) for member in (*group, unit))
        if grouped > max_payload_bytes:
            flush()
        if len(unit) <= max_payload_bytes - 3:
            group.append(unit)
        else:
            payloads += _fragments(unit, max_payload_bytes)
    flush()
    return payloads


def _fragments(unit: bytes, max_payload_bytes: int) -> Iterator[bytes]:
    indicator, form = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F
    room = max_payload_bytes - 2
    for at in range(1, len(unit), room):
        first = 0x80 if at == 1 else 0
        last = 0x40 if at + room >= len(unit) else 0
        yield bytes((indicator, first | last | form)) + unit[at : at + room]
