import sys

from worker.core.audio.speakers import SpeakerTurn
from worker.core.audio.turnlog import TurnLog
from worker.core.identity import ParticipantId

ADA, BRUNO = ParticipantId("ada"), ParticipantId("bruno")


def test_turns_come_back_as_they_were_in_order() -> None:
    turns = [SpeakerTurn(ADA, 0, 100), SpeakerTurn(BRUNO, 50, 120), SpeakerTurn(ADA, 150, 400)]
    log = TurnLog()
    log.extend(turns[:1])
    log.extend([])
    log.extend(turns[1:])
    assert list(log) == turns
    assert list(log) == turns


def test_a_day_of_turns_is_a_megabyte_and_a_half() -> None:
    log = TurnLog()
    day_blocks = 86_400 * 50
    log.extend(SpeakerTurn(ADA, block, block + 36) for block in range(0, day_blocks, 36))
    assert sum(1 for _ in log) == 120_000
    assert sys.getsizeof(log._rows) < 1_700_000
    assert list(log)[-1] == SpeakerTurn(ADA, day_blocks - 36, day_blocks)
