"""Opus as browsers send it where they were asked not to send pauses (RFC 7587, `usedtx=1`)."""

import ctypes
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worker.core.audio.gapless import DTX_BYTES
from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from worker.media.opus import libopus

APPLICATION_VOIP = 2048
SET_BITRATE, SET_INBAND_FEC, SET_PACKET_LOSS, SET_DTX = 4002, 4012, 4014, 4016
"""From opus_defines.h."""
MOST_BYTES = 1500


def packets_with_pauses(
    pcm: NDArray[np.float32], *, bitrate_bps: int = 32_000
) -> Iterator[tuple[int, bytes]]:
    """Position and packet for each 20 ms of mono *pcm* that is sent.

    Of packets that only say "nothing new", the first one of a row is sent, as libwebrtc does.
    """
    library = libopus()
    assert library is not None
    library.opus_encoder_create.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(
        library.opus_encoder_create(
            SAMPLE_RATE_HZ, 1, APPLICATION_VOIP, ctypes.byref(ctypes.c_int())
        )
    )
    for request, value in (
        (SET_BITRATE, bitrate_bps),
        (SET_INBAND_FEC, 1),
        (SET_PACKET_LOSS, 5),
        (SET_DTX, 1),
    ):
        assert library.opus_encoder_ctl(encoder, request, value) == 0
    buffer = ctypes.create_string_buffer(MOST_BYTES)
    was_empty = False
    for at in range(0, len(pcm) - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
        block = np.ascontiguousarray(pcm[at : at + BLOCK_SAMPLES], np.float32)
        size = library.opus_encode_float(
            encoder, ctypes.c_void_p(block.ctypes.data), BLOCK_SAMPLES, buffer, MOST_BYTES
        )
        assert size > 0
        is_empty = size <= DTX_BYTES
        if not (is_empty and was_empty):
            yield at, buffer.raw[:size]
        was_empty = is_empty
    library.opus_encoder_destroy(encoder)
