import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from worker.core.identity import Kind, Participant, ParticipantId, Source, Track, TrackId, UserId
from worker.core.layout.gallery import grid_for
from worker.core.roster import Roster, ScreenShare

ANN, BOB, CID = UserId("ann"), UserId("bob"), UserId("cid")
CAMERA, MICROPHONE, SCREEN = Source.CAMERA, Source.MICROPHONE, Source.SCREEN


def somebody(user: str, presence: int = 1, name: str = "") -> Participant:
    return Participant(ParticipantId(f"{user}-{presence}"), UserId(user), name)


def a_track(user: str, source: Source = CAMERA, *, presence: int = 1, number: int = 1) -> Track:
    return Track(
        TrackId(f"{user}-{presence}-{source.value}-{number}"),
        ParticipantId(f"{user}-{presence}"),
        Kind.AUDIO if source is MICROPHONE else Kind.VIDEO,
        source,
    )


def room_of(*users: str) -> Roster:
    """Everybody has joined and publishes a camera."""
    roster = Roster()
    for user in users:
        roster.join(somebody(user))
        roster.publish(a_track(user))
    return roster


# --- being shown ----------------------------------------------------------------------------


def test_a_user_is_shown_from_the_first_published_track_until_it_leaves() -> None:
    roster = Roster()
    roster.join(somebody("ann"))
    assert roster.users() == () and not roster.is_shown(ANN)
    roster.publish(a_track("ann", MICROPHONE))
    assert roster.users() == (ANN,) and roster.is_shown(ANN)
    roster.unpublish(a_track("ann", MICROPHONE).track_id)
    assert roster.users() == (ANN,) and roster.is_shown(ANN)
    roster.leave(ParticipantId("ann-1"))
    assert roster.users() == () and not roster.is_shown(ANN)
    assert roster.gallery_slots() == ()


def test_users_stand_in_the_order_they_joined_not_in_the_order_they_published() -> None:
    roster = Roster()
    for user in ("ann", "bob", "cid"):
        roster.join(somebody(user))
    for user in ("cid", "ann", "bob"):
        roster.publish(a_track(user))
    assert roster.users() == (ANN, BOB, CID)


def test_who_comes_back_stands_last() -> None:
    roster = room_of("ann", "bob")
    roster.leave(ParticipantId("ann-1"))
    roster.join(somebody("ann", presence=2))
    roster.publish(a_track("ann", presence=2))
    assert roster.users() == (BOB, ANN)


def test_the_gallery_seats_users_in_the_order_they_were_shown() -> None:
    roster = Roster()
    for user in ("ann", "bob", "cid"):
        roster.join(somebody(user))
    for user in ("cid", "ann"):
        roster.publish(a_track(user))
    assert roster.gallery_slots() == (CID, ANN)
    roster.publish(a_track("bob"))
    assert roster.gallery_slots() == (CID, ANN, BOB, None)


def test_a_second_track_takes_no_second_slot() -> None:
    roster = room_of("ann")
    roster.publish(a_track("ann", SCREEN))
    assert roster.gallery_slots() == (ANN,)


# --- labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"), [("Ann Ström", "Ann Ström"), ("", "ann"), ("  ", "ann")]
)
def test_the_label_is_the_display_name_else_the_user_id(name: str, label: str) -> None:
    roster = Roster()
    roster.join(somebody("ann", name=name))
    assert roster.label(ANN) == label


def test_a_repeated_join_may_bring_a_new_name_and_changes_nothing_else() -> None:
    roster = room_of("ann", "bob")
    roster.join(somebody("ann", name="Ann"))
    assert roster.label(ANN) == "Ann"
    assert roster.users() == (ANN, BOB)
    assert roster.video(ANN, CAMERA) == "ann-1-camera-1"


# --- tracks ---------------------------------------------------------------------------------


def test_a_video_is_found_by_user_and_source() -> None:
    roster = room_of("ann", "bob")
    roster.publish(a_track("ann", SCREEN))
    roster.publish(a_track("ann", MICROPHONE))
    assert roster.video(ANN, CAMERA) == "ann-1-camera-1"
    assert roster.video(ANN, SCREEN) == "ann-1-screen-1"
    assert roster.video(BOB, SCREEN) is None
    assert roster.video(ANN, MICROPHONE) is None
    assert roster.video(CID, CAMERA) is None


def test_the_sound_of_a_screen_is_not_its_picture() -> None:
    roster = room_of("ann")
    roster.publish(Track(TrackId("sound"), ParticipantId("ann-1"), Kind.AUDIO, SCREEN))
    assert roster.video(ANN, SCREEN) is None
    assert roster.screen_share() is None


def test_the_newest_of_two_cameras_counts_until_it_ends() -> None:
    roster = room_of("ann")
    roster.publish(a_track("ann", number=2))
    assert roster.video(ANN, CAMERA) == "ann-1-camera-2"
    roster.unpublish(TrackId("ann-1-camera-2"))
    assert roster.video(ANN, CAMERA) == "ann-1-camera-1"


def test_a_muted_video_is_no_video() -> None:
    roster = room_of("ann")
    camera = a_track("ann").track_id
    roster.mute(camera, True)
    assert roster.video(ANN, CAMERA) is None
    assert roster.users() == (ANN,)
    roster.mute(camera, False)
    assert roster.video(ANN, CAMERA) == camera


def test_a_track_published_anew_is_not_muted() -> None:
    roster = room_of("ann")
    camera = a_track("ann")
    roster.mute(camera.track_id, True)
    roster.unpublish(camera.track_id)
    roster.publish(camera)
    assert roster.video(ANN, CAMERA) == camera.track_id


def test_a_repeated_publish_changes_nothing() -> None:
    roster = room_of("ann", "bob")
    first, second = a_track("ann", SCREEN), a_track("bob", SCREEN)
    roster.publish(first)
    roster.publish(second)
    roster.mute(a_track("ann").track_id, True)
    roster.publish(first)
    roster.publish(a_track("ann"))
    assert roster.screen_share() == ScreenShare(BOB, second.track_id)
    assert roster.video(ANN, CAMERA) is None


def test_a_track_that_changes_its_owner_belongs_to_the_new_one() -> None:
    roster = room_of("ann", "bob")
    taken = Track(a_track("ann").track_id, ParticipantId("bob-1"), Kind.VIDEO, CAMERA)
    roster.publish(taken)
    assert roster.video(ANN, CAMERA) is None
    assert roster.video(BOB, CAMERA) == taken.track_id


def test_late_events_about_what_is_gone_are_ignored() -> None:
    roster = room_of("ann", "bob")
    roster.leave(ParticipantId("ann-1"))
    roster.leave(ParticipantId("ann-1"))
    roster.publish(a_track("ann"))
    roster.unpublish(a_track("ann").track_id)
    roster.mute(a_track("ann").track_id, True)
    assert roster.users() == (BOB,)
    # The late mute is not remembered for a track to come.
    roster.join(somebody("ann"))
    roster.publish(a_track("ann"))
    assert roster.video(ANN, CAMERA) == a_track("ann").track_id


# --- screen shares --------------------------------------------------------------------------


def test_the_newest_share_wins_and_the_one_before_it_comes_back() -> None:
    roster = room_of("ann", "bob")
    assert roster.screen_share() is None
    roster.publish(a_track("bob", SCREEN))
    roster.publish(a_track("ann", SCREEN))
    assert roster.screen_share() == ScreenShare(ANN, TrackId("ann-1-screen-1"))
    roster.unpublish(TrackId("ann-1-screen-1"))
    assert roster.screen_share() == ScreenShare(BOB, TrackId("bob-1-screen-1"))
    roster.leave(ParticipantId("bob-1"))
    assert roster.screen_share() is None


def test_a_muted_share_makes_way_and_keeps_its_rank() -> None:
    roster = room_of("ann", "bob")
    roster.publish(a_track("ann", SCREEN))
    roster.publish(a_track("bob", SCREEN))
    roster.mute(TrackId("bob-1-screen-1"), True)
    assert roster.screen_share() == ScreenShare(ANN, TrackId("ann-1-screen-1"))
    roster.mute(TrackId("bob-1-screen-1"), False)
    assert roster.screen_share() == ScreenShare(BOB, TrackId("bob-1-screen-1"))


# --- one user, two presences ----------------------------------------------------------------


def test_a_rejoin_takes_over_the_tile_and_a_late_leave_does_not_remove_it() -> None:
    roster = room_of("ann", "bob")
    roster.join(somebody("ann", presence=2, name="Ann again"))
    roster.publish(a_track("ann", presence=2))
    assert roster.users() == (ANN, BOB)
    assert roster.gallery_slots() == (ANN, BOB)
    assert roster.video(ANN, CAMERA) == "ann-2-camera-1"
    assert roster.label(ANN) == "Ann again"
    roster.leave(ParticipantId("ann-1"))
    assert roster.users() == (ANN, BOB)
    assert roster.gallery_slots() == (ANN, BOB)
    assert roster.video(ANN, CAMERA) == "ann-2-camera-1"
    roster.leave(ParticipantId("ann-2"))
    assert roster.users() == (BOB,)


def test_tracks_of_a_superseded_presence_count_no_more() -> None:
    roster = room_of("ann")
    roster.publish(a_track("ann", SCREEN))
    roster.join(somebody("ann", presence=2))
    roster.publish(a_track("ann", MICROPHONE, presence=2))
    assert roster.video(ANN, CAMERA) is None
    assert roster.screen_share() is None
    roster.publish(a_track("ann", SCREEN, number=2))
    assert roster.screen_share() is None


def test_a_second_presence_that_publishes_nothing_leaves_the_tile_alone() -> None:
    roster = room_of("ann")
    roster.join(somebody("ann", presence=2, name="lurking"))
    assert roster.video(ANN, CAMERA) == "ann-1-camera-1"
    assert roster.label(ANN) == "ann"


def test_when_the_newer_presence_leaves_the_older_one_is_back() -> None:
    roster = room_of("ann", "bob")
    roster.join(somebody("ann", presence=2))
    roster.publish(a_track("ann", presence=2))
    roster.leave(ParticipantId("ann-2"))
    assert roster.users() == (ANN, BOB)
    assert roster.video(ANN, CAMERA) == "ann-1-camera-1"


def test_a_user_stays_shown_while_a_rejoined_presence_has_yet_to_publish() -> None:
    roster = room_of("ann", "bob")
    roster.join(somebody("ann", presence=2, name="Ann again"))
    roster.leave(ParticipantId("ann-1"))
    assert roster.users() == (ANN, BOB)
    assert roster.video(ANN, CAMERA) is None
    assert roster.label(ANN) == "Ann again"


def test_a_presence_that_changes_its_user_leaves_and_joins() -> None:
    roster = room_of("ann", "bob")
    roster.join(Participant(ParticipantId("ann-1"), CID, "Cid"))
    assert roster.users() == (BOB,)
    roster.publish(a_track("ann"))
    assert roster.users() == (BOB, CID)
    assert roster.video(CID, CAMERA) == a_track("ann").track_id


# --- any sequence of events -----------------------------------------------------------------

USERS = [f"u{number}" for number in range(30)]
PRESENCES = st.tuples(st.sampled_from(USERS), st.integers(1, 2))
SOURCES = st.sampled_from([CAMERA, MICROPHONE, SCREEN])


class AnyRoom(RuleBasedStateMachine):
    """Random events beside a model that only knows sets."""

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster()
        self.present: dict[ParticipantId, UserId] = {}
        self.shown: list[UserId] = []
        self.tracks: dict[TrackId, Track] = {}
        self.muted: set[TrackId] = set()
        self.slots_before: tuple[UserId | None, ...] = ()

    @rule(presence=PRESENCES)
    def join(self, presence: tuple[str, int]) -> None:
        participant = somebody(*presence)
        self.present[participant.participant_id] = participant.user_id
        self.roster.join(participant)

    @rule(users=st.integers(1, len(USERS)))
    def many_join_and_publish(self, users: int) -> None:
        for user in USERS[:users]:
            self.join((user, 1))
            self.publish((user, 1), CAMERA)

    @rule(presence=PRESENCES)
    def leave(self, presence: tuple[str, int]) -> None:
        participant_id = somebody(*presence).participant_id
        user = self.present.pop(participant_id, None)
        for track in list(self.tracks.values()):
            if track.participant_id == participant_id:
                self.tracks.pop(track.track_id)
                self.muted.discard(track.track_id)
        if user in self.shown and user not in self.present.values():
            self.shown.remove(user)
        self.roster.leave(participant_id)

    @rule(presence=PRESENCES, source=SOURCES)
    def publish(self, presence: tuple[str, int], source: Source) -> None:
        track = a_track(presence[0], source, presence=presence[1])
        if track.participant_id in self.present:
            self.tracks.setdefault(track.track_id, track)
            if UserId(presence[0]) not in self.shown:
                self.shown.append(UserId(presence[0]))
        self.roster.publish(track)

    @rule(presence=PRESENCES, source=SOURCES)
    def unpublish(self, presence: tuple[str, int], source: Source) -> None:
        track_id = a_track(presence[0], source, presence=presence[1]).track_id
        self.tracks.pop(track_id, None)
        self.muted.discard(track_id)
        self.roster.unpublish(track_id)

    @rule(presence=PRESENCES, source=SOURCES, muted=st.booleans())
    def mute(self, presence: tuple[str, int], source: Source, muted: bool) -> None:
        track_id = a_track(presence[0], source, presence=presence[1]).track_id
        if muted and track_id in self.tracks:
            self.muted.add(track_id)
        else:
            self.muted.discard(track_id)
        self.roster.mute(track_id, muted)

    @invariant()
    def shown_users_are_those_who_published_and_are_here(self) -> None:
        assert set(self.roster.users()) == set(self.shown)
        assert len(self.roster.users()) == len(self.shown)

    @invariant()
    def the_gallery_seats_the_first_25_and_nobody_twice(self) -> None:
        slots = self.roster.gallery_slots()
        seated = [user for user in slots if user is not None]
        assert len(set(seated)) == len(seated) == min(25, len(self.shown))
        assert set(seated) <= set(self.shown)
        assert len(slots) == grid_for(len(seated)).capacity

    @invariant()
    def who_stays_keeps_the_slot_unless_the_grid_changes(self) -> None:
        slots = self.roster.gallery_slots()
        if len(slots) == len(self.slots_before):
            for before, now in zip(self.slots_before, slots, strict=True):
                assert before == now or before is None or before not in self.shown
        elif len(slots) > len(self.slots_before):
            for before, now in zip(self.slots_before, slots, strict=False):
                assert before == now or before is None
        self.slots_before = slots

    @invariant()
    def videos_are_unmuted_tracks_of_their_user(self) -> None:
        for user in self.shown:
            for source in (CAMERA, SCREEN):
                track_id = self.roster.video(user, source)
                if track_id is not None:
                    track = self.tracks[track_id]
                    assert track.source is source and track.kind is Kind.VIDEO
                    assert track_id not in self.muted
                    assert self.present[track.participant_id] == user
        share = self.roster.screen_share()
        shares = {user for user in self.shown if self.roster.video(user, SCREEN) is not None}
        assert (share.user_id in shares) if share is not None else not shares


AnyRoom.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
TestAnySequenceOfEvents = AnyRoom.TestCase
