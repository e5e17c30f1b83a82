"""Who is told what, without a network."""

import json

import pytest

from worker.core.identity import Kind, Source, UserId
from worker.errors import InvalidField, RoomRefused
from worker.testroom.lobby import (
    MAX_PARTICIPANTS,
    MAX_RECORDERS,
    MAX_ROOMS,
    Delivery,
    Lobby,
)
from worker.testroom.protocol import Join, PeerId, Publish, PublishedTrack, Role, Signal

TOKEN = "a-token-of-some-length"
CAMERA = PublishedTrack("cam", Kind.VIDEO, Source.CAMERA, muted=False)
CAMERA_JSON = {"track": "cam", "kind": "video", "source": "camera", "muted": False}


def join(
    user: str, *, room: str = "demo", role: Role = Role.PUBLISHER, token: str | None = None
) -> Join:
    return Join(room, UserId(user), user.title(), role, token)


def recorder(user: str = "rec", *, room: str = "demo") -> Join:
    return join(user, room=room, role=Role.SUBSCRIBER)


def lobby_with(*joins: Join) -> Lobby:
    """A lobby in which the n-th of *joins* has the peer id p<n>, from p0."""
    lobby = Lobby()
    for index, message in enumerate(joins):
        lobby.join(PeerId(f"p{index}"), message)
    return lobby


def told(deliveries: list[Delivery] | tuple[Delivery, ...]) -> dict[str, list[dict[str, object]]]:
    """What every peer receives, in order."""
    received: dict[str, list[dict[str, object]]] = {}
    for delivery in deliveries:
        for peer_id in delivery.to:
            received.setdefault(peer_id, []).append(json.loads(delivery.text))
    return received


def test_the_first_one_in_is_welcomed_to_an_empty_room() -> None:
    deliveries = Lobby().join(PeerId("p0"), join("ada"))

    assert told(deliveries) == {
        "p0": [
            {"type": "welcome", "id": "p0", "participants": []},
            {"type": "recorders", "count": 0},
        ]
    }


def test_a_newcomer_sees_who_is_there_and_everybody_there_is_told() -> None:
    lobby = lobby_with(join("ada"))
    lobby.publish(PeerId("p0"), Publish((CAMERA,)))

    received = told(lobby.join(PeerId("p1"), join("bob")))

    ada = {"id": "p0", "user_id": "ada", "name": "Ada", "tracks": [CAMERA_JSON]}
    bob = {"id": "p1", "user_id": "bob", "name": "Bob", "tracks": []}
    assert received["p1"][0] == {"type": "welcome", "id": "p1", "participants": [ada]}
    assert received["p0"] == [{"type": "joined", "participant": bob}]


def test_participants_are_listed_in_the_order_of_joining() -> None:
    lobby = lobby_with(join("cy"), join("ada"), join("bob"))

    (welcome, _) = told(lobby.join(PeerId("p9"), join("dan")))["p9"]

    assert [p["user_id"] for p in welcome["participants"]] == ["cy", "ada", "bob"]  # type: ignore[attr-defined]


def test_changed_tracks_are_told_to_everybody_else_and_nobody_in_other_rooms() -> None:
    lobby = lobby_with(join("ada"), join("bob"), recorder(), join("eve", room="other"))

    received = told(lobby.publish(PeerId("p0"), Publish((CAMERA,))))

    message = {"type": "tracks", "id": "p0", "tracks": [CAMERA_JSON]}
    assert received == {"p1": [message], "p2": [message]}


def test_the_list_of_tracks_replaces_the_one_before() -> None:
    lobby = lobby_with(join("ada"), join("bob"))
    lobby.publish(PeerId("p0"), Publish((CAMERA,)))

    received = told(lobby.publish(PeerId("p0"), Publish(())))

    assert received["p1"] == [{"type": "tracks", "id": "p0", "tracks": []}]


def test_a_recorder_is_not_announced_but_counted() -> None:
    lobby = lobby_with(join("ada"))

    received = told(lobby.join(PeerId("p1"), recorder()))

    assert received["p0"] == [{"type": "recorders", "count": 1}]
    assert [m["type"] for m in received["p1"]] == ["welcome", "recorders"]


def test_a_newcomer_is_told_that_the_room_is_being_recorded() -> None:
    lobby = lobby_with(recorder())

    received = told(lobby.join(PeerId("p1"), join("ada")))

    assert received["p1"] == [
        {"type": "welcome", "id": "p1", "participants": []},
        {"type": "recorders", "count": 1},
    ]


def test_everybody_is_told_who_left() -> None:
    lobby = lobby_with(join("ada"), join("bob"), recorder())

    received = told(lobby.leave(PeerId("p0")))

    assert received == {peer: [{"type": "left", "id": "p0"}] for peer in ("p1", "p2")}


def test_a_recorder_who_leaves_is_told_to_publishers_so_that_they_hang_up() -> None:
    lobby = lobby_with(join("ada"), recorder(), recorder("rec2"))

    received = told(lobby.leave(PeerId("p1")))

    assert received["p0"] == [{"type": "left", "id": "p1"}, {"type": "recorders", "count": 1}]
    assert received["p2"] == [{"type": "recorders", "count": 1}]


def test_a_signal_reaches_its_receiver_alone_with_the_senders_id() -> None:
    lobby = lobby_with(join("ada"), join("bob"), join("cy"))

    received = told(lobby.relay(PeerId("p0"), Signal(PeerId("p1"), '{"kind":"close"}')))

    assert received == {"p1": [{"type": "signal", "from": "p0", "data": {"kind": "close"}}]}


def test_a_signal_to_somebody_who_just_left_is_dropped() -> None:
    lobby = lobby_with(join("ada"), join("bob"))
    lobby.leave(PeerId("p1"))

    assert lobby.relay(PeerId("p0"), Signal(PeerId("p1"), "{}")) == []


def test_a_signal_never_crosses_into_another_room() -> None:
    lobby = lobby_with(join("ada"), join("eve", room="other"))

    assert lobby.relay(PeerId("p1"), Signal(PeerId("p0"), "{}")) == []


def test_signalling_to_oneself_is_a_mistake() -> None:
    lobby = lobby_with(join("ada"))

    with pytest.raises(InvalidField, match="^to: "):
        lobby.relay(PeerId("p0"), Signal(PeerId("p0"), "{}"))


def test_a_subscriber_cannot_publish() -> None:
    lobby = lobby_with(recorder())

    with pytest.raises(InvalidField, match="^type: "):
        lobby.publish(PeerId("p0"), Publish((CAMERA,)))


def test_a_user_may_be_there_twice_and_the_newest_presence_is_listed() -> None:
    lobby = lobby_with(join("ada"), join("bob"))

    received = told(lobby.join(PeerId("p2"), join("ada")))

    assert [p["id"] for p in received["p2"][0]["participants"]] == ["p0", "p1"]  # type: ignore[attr-defined]
    assert listed(lobby) == {"demo": ["p2", "p1"]}
    lobby.leave(PeerId("p0"))
    assert listed(lobby) == {"demo": ["p1", "p2"]}


def test_a_room_ends_with_its_last_peer() -> None:
    lobby = lobby_with(join("ada"), recorder())
    lobby.leave(PeerId("p0"))
    assert listed(lobby) == {"demo": []}

    lobby.leave(PeerId("p1"))

    assert listed(lobby) == {}


def test_a_full_room_refuses_participants_but_can_still_be_recorded() -> None:
    lobby = lobby_with(*(join(f"user{n}") for n in range(MAX_PARTICIPANTS)))

    with pytest.raises(RoomRefused, match="^room: is full with 100 publishers"):
        lobby.join(PeerId("late"), join("late"))
    for number in range(MAX_RECORDERS):
        lobby.join(PeerId(f"rec{number}"), recorder())
    with pytest.raises(RoomRefused, match="^room: is full with 16 subscribers"):
        lobby.join(PeerId("rec"), recorder())


def test_a_refused_newcomer_leaves_no_trace() -> None:
    lobby = lobby_with(*(join("user", room=f"room{n}") for n in range(MAX_ROOMS)))
    before = lobby.listing()

    with pytest.raises(RoomRefused, match="^room: there are 64 rooms already"):
        lobby.join(PeerId("late"), join("late", room="one-too-many"))

    assert lobby.listing() == before


def test_a_place_that_becomes_free_can_be_taken() -> None:
    lobby = lobby_with(*(join("user", room=f"room{n}") for n in range(MAX_ROOMS)))
    lobby.leave(PeerId("p5"))

    lobby.join(PeerId("late"), join("late", room="new"))

    assert listed(lobby)["new"] == ["late"]


@pytest.mark.parametrize("given", [None, "", "a-token-of-some-lengt", TOKEN + "x", "\ud800"])
def test_a_room_with_a_token_refuses_every_other_one(given: str | None) -> None:
    lobby = Lobby(token=TOKEN)

    with pytest.raises(RoomRefused, match="^token: "):
        lobby.join(PeerId("p0"), join("ada", token=given))


def test_a_room_with_a_token_lets_its_bearer_in() -> None:
    lobby = Lobby(token=TOKEN)

    lobby.join(PeerId("p0"), join("ada", token=TOKEN))

    assert listed(lobby) == {"demo": ["p0"]}
    assert TOKEN not in json.dumps(lobby.listing())


def listed(lobby: Lobby) -> dict[str, list[str]]:
    rooms: list[dict[str, object]] = lobby.listing()["rooms"]  # type: ignore[assignment]
    return {r["room"]: [p["id"] for p in r["participants"]] for r in rooms}  # type: ignore[attr-defined,misc]


def resumable(user: str, *, role: Role = Role.PUBLISHER, secret: str = "") -> Join:
    return Join("demo", UserId(user), user.title(), role, resume=secret)


def lobby_of_returners(*users: str) -> Lobby:
    """Publishers p0, p1, … whose secrets are s0, s1, …"""
    lobby = Lobby()
    for index, user in enumerate(users):
        lobby.join(PeerId(f"p{index}"), resumable(user), resume=f"s{index}")
    return lobby


def test_who_may_come_back_is_told_by_which_secret() -> None:
    (welcome, _) = told(Lobby().join(PeerId("p0"), resumable("ada"), resume="s0"))["p0"]

    assert welcome == {
        "type": "welcome",
        "id": "p0",
        "participants": [],
        "resume": "s0",
        "resumed": False,
    }


def test_nobody_is_told_that_somebody_is_away_or_back_again() -> None:
    lobby = lobby_of_returners("ada", "bob")
    lobby.publish(PeerId("p1"), Publish((CAMERA,)))

    lobby.vanish(PeerId("p0"))
    assert lobby.former(resumable("ada", secret="s0")) == "p0"
    received = told(lobby.resume(PeerId("p0")))

    assert list(received) == ["p0"]
    welcome, recorders = received["p0"]
    bob = {"id": "p1", "user_id": "bob", "name": "Bob", "tracks": [CAMERA_JSON]}
    assert welcome["participants"] == [bob]
    assert (welcome["id"], welcome["resumed"]) == ("p0", True)
    assert recorders == {"type": "recorders", "count": 0}


@pytest.mark.parametrize(
    "stranger",
    [
        resumable("ada", secret="s9"),
        resumable("eve", secret="s0"),
        resumable("ada", role=Role.SUBSCRIBER, secret="s0"),
        resumable("ada"),
        Join("demo", UserId("ada"), "Ada", Role.PUBLISHER),
        Join("other", UserId("ada"), "Ada", Role.PUBLISHER, resume="s0"),
    ],
)
def test_a_place_is_given_back_to_its_owner_only(stranger: Join) -> None:
    lobby = lobby_of_returners("ada")
    lobby.vanish(PeerId("p0"))

    assert lobby.former(stranger) is None


def test_a_secret_does_not_spare_the_token() -> None:
    lobby = Lobby(token=TOKEN)
    first = Join("demo", UserId("ada"), "Ada", Role.PUBLISHER, TOKEN, resume="")
    lobby.join(PeerId("p0"), first, resume="s0")

    with pytest.raises(RoomRefused, match="token"):
        lobby.former(resumable("ada", secret="s0"))
    with pytest.raises(RoomRefused, match="token"):
        lobby.superseded(resumable("ada"))


def test_a_user_who_joins_afresh_takes_the_place_of_the_presence_that_is_away() -> None:
    lobby = lobby_of_returners("ada", "ada", "bob")
    lobby.vanish(PeerId("p2"))
    assert lobby.superseded(resumable("ada")) == []

    lobby.vanish(PeerId("p0"))

    assert lobby.superseded(resumable("ada")) == ["p0"]
    assert lobby.superseded(resumable("ada", role=Role.SUBSCRIBER)) == []


def test_in_a_full_room_who_is_away_the_longest_makes_room() -> None:
    lobby = lobby_of_returners(*(f"user-{n}" for n in range(MAX_PARTICIPANTS)))
    assert lobby.superseded(resumable("new")) == []

    lobby.vanish(PeerId("p7"))
    lobby.vanish(PeerId("p3"))

    assert lobby.superseded(resumable("new")) == ["p7"]
    lobby.leave(PeerId("p7"))
    lobby.join(PeerId("p200"), resumable("new"))


def test_only_signals_and_leavings_are_kept_for_who_is_away() -> None:
    lobby = lobby_of_returners("ada", "bob", "cy")

    assert [d.is_lasting for d in lobby.publish(PeerId("p0"), Publish((CAMERA,)))] == [False]
    assert [d.is_lasting for d in lobby.relay(PeerId("p0"), Signal(PeerId("p1"), "{}"))] == [True]
    assert [d.is_lasting for d in lobby.leave(PeerId("p2"))] == [True]
