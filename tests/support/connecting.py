"""Brings two peers in one process together on 127.0.0.1, without signalling."""

import asyncio

from worker.core.identity import Codec, Kind
from worker.rooms.ice import IceSettings
from worker.rooms.media import (
    AUDIO_LEVEL_URI,
    MID_URI,
    ORIENTATION_URI,
    AnswerResult,
    MediaCodec,
    OfferedMedia,
)
from worker.rooms.peer import Peer
from worker.rooms.reader import READ_INTERVAL_S, DatagramReader

ICE = IceSettings(host_addresses=("127.0.0.1",))
OPUS = MediaCodec(111, Codec.OPUS)
VP8 = MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli"))
MICROPHONE = OfferedMedia("0", Kind.AUDIO, (OPUS,), 1000, extensions={AUDIO_LEVEL_URI: 1})
CAMERA = OfferedMedia(
    "1", Kind.VIDEO, (VP8,), 2000, 2001, extensions={MID_URI: 4, ORIENTATION_URI: 13}
)


async def connect(
    sender: Peer, receiver: Peer, *media: OfferedMedia, reader: DatagramReader
) -> AnswerResult:
    """Negotiate *media* and connect; *reader* is the receiver's."""
    result = await receiver.answer(await sender.offer(media))
    await sender.accept(result.sdp)
    async with asyncio.TaskGroup() as tasks:
        ends = [tasks.create_task(sender.connect()), tasks.create_task(receiver.connect())]
        while not all(end.done() for end in ends):
            await asyncio.sleep(READ_INTERVAL_S)
            reader.read()
    return result
