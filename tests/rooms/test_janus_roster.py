from worker.core.identity import Kind, Source
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomEvent,
    TrackEnded,
    TrackPublished,
)
from worker.rooms.janus_messages import Feed, FeedStream
from worker.rooms.janus_roster import JanusNaming, JanusRoster

MICROPHONE = FeedStream("0", Kind.AUDIO)
CAMERA = FeedStream("1", Kind.VIDEO, "front camera")
SCREEN = FeedStream("2", Kind.VIDEO, "my Screen")


def roster(naming: JanusNaming | None = None) -> tuple[JanusRoster, list[RoomEvent]]:
    events: list[RoomEvent] = []
    return JanusRoster(naming or JanusNaming(), events.append), events


def names(events: list[RoomEvent]) -> list[str]:
    """Short words for events; empties the list."""
    words = []
    for event in events:
        match event:
            case ParticipantJoined(participant):
                words.append(f"+{participant.display_name}")
            case ParticipantLeft():
                words.append("-")
            case TrackPublished(track):
                words.append(f"+{track.source.value}")
            case TrackEnded(track_id):
                words.append(f"-{track_id.rpartition('/')[2]}")
    events.clear()
    return words


def test_a_feed_becomes_a_participant_with_its_tracks() -> None:
    people, events = roster()
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA, SCREEN))])
    assert names(events) == ["+Ann", "+microphone", "+camera", "+screen"]
    assert [live.stream.mid for live in people.live()] == ["0", "1", "2"]


def test_the_same_list_again_changes_nothing() -> None:
    people, events = roster()
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA))])
    events.clear()
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA))])
    people.replace([Feed(7, "Ann", (MICROPHONE, CAMERA))])
    assert events == []


def test_a_screen_share_comes_and_goes_while_the_rest_stays() -> None:
    people, events = roster()
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA))])
    events.clear()
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA, SCREEN))])
    people.put([Feed(7, "Ann", (MICROPHONE, CAMERA))])
    assert names(events) == ["+screen", "-2"]


def test_a_description_that_makes_a_camera_a_screen_publishes_it_anew() -> None:
    people, events = roster()
    people.put([Feed(7, "Ann", (FeedStream("1", Kind.VIDEO),))])
    events.clear()
    people.put([Feed(7, "Ann", (FeedStream("1", Kind.VIDEO, "desktop"),))])
    assert names(events) == ["-1", "+screen"]


def test_whoever_is_missing_from_a_complete_list_has_left() -> None:
    people, events = roster()
    people.replace([Feed(7, "Ann", (CAMERA,)), Feed(8, "Ben", (CAMERA,))])
    events.clear()
    people.replace([Feed(8, "Ben", (CAMERA,)), Feed(9, "Cai", (CAMERA,))])
    assert names(events) == ["-1", "-", "+Cai", "+camera"]


def test_each_return_under_the_same_id_is_a_presence_of_its_own() -> None:
    people, events = roster()
    people.put([Feed(7, "Ann", (CAMERA,))])
    people.remove(7)
    people.remove(7)
    people.put([Feed(7, "Ann", (CAMERA,))])
    joined = [event.participant for event in events if isinstance(event, ParticipantJoined)]
    left = [event.participant_id for event in events if isinstance(event, ParticipantLeft)]
    assert left == [joined[0].participant_id]
    assert joined[0].participant_id != joined[1].participant_id
    assert joined[0].user_id == joined[1].user_id == "7"


def test_a_user_is_known_by_id_or_by_display_name_as_configured() -> None:
    people, events = roster(JanusNaming(user_id_is_display=True))
    people.put([Feed(7, "Ann", ()), Feed(8, "", ())])
    joined = [event.participant for event in events if isinstance(event, ParticipantJoined)]
    assert [participant.user_id for participant in joined] == ["Ann", "8"]
    assert [participant.display_name for participant in joined] == ["Ann", "8"]


def test_a_screen_that_is_a_feed_of_its_own_is_known_by_its_name() -> None:
    people, _ = roster()
    people.put([Feed(7, "Ann's screen", (FeedStream("0", Kind.VIDEO),))])
    assert [live.track.source for live in people.live()] == [Source.SCREEN]
    people, _ = roster(JanusNaming(screen_pattern="^share-"))
    people.put([Feed(7, "share-7", (FeedStream("0", Kind.VIDEO), FeedStream("1", Kind.AUDIO)))])
    assert [live.track.source for live in people.live()] == [Source.SCREEN, Source.SCREEN]


def test_a_name_that_only_contains_the_letters_is_no_screen() -> None:
    people, _ = roster()
    people.put([Feed(7, "Screenwriter Sam", (FeedStream("0", Kind.VIDEO),))])
    assert [live.track.source for live in people.live()] == [Source.CAMERA]
