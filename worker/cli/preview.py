"""A job's layout for N people who are not there, as a PNG."""

from pathlib import Path

from worker.core.identity import Kind, Participant, ParticipantId, Source, Track, TrackId, UserId
from worker.core.layout.resolve import resolve
from worker.core.roster import Roster
from worker.core.spec import CustomLayout, JobSpec, ScreenShareLayout
from worker.errors import RequestError
from worker.media.contact_sheet import still
from worker.media.kit import PyavKit


def draw_preview(spec: JobSpec, participants: int, output: Path) -> list[str]:
    """Write the PNG; returns warnings about images. Raises `RequestError` for audio-only jobs.

    Users named by panes or by the stage come first, then invented ones up to *participants*. In a
    screen-share layout the first one shares the screen.
    """
    template = spec.mix.template
    if template is None:
        raise RequestError("an audio_only job has no picture to preview")
    kit = PyavKit()
    warnings = list(kit.load_images(spec.mix.backgrounds.images))
    roster = Roster()
    for index, user_id in enumerate(_users(spec, participants)):
        _enter(
            roster, user_id, shares=index == 0 and isinstance(spec.mix.layout, ScreenShareLayout)
        )
    canvas = kit.compositor(template.size).compose(
        resolve(spec.mix, roster, template.size), pictures={}
    )
    still(canvas, output)
    canvas.release()
    return warnings


def _users(spec: JobSpec, participants: int) -> list[UserId]:
    layout = spec.mix.layout
    named: list[UserId] = []
    if isinstance(layout, CustomLayout):
        named = [pane.user_id for pane in layout.panes if pane.user_id]
    elif isinstance(layout, ScreenShareLayout) and layout.user_id is not None:
        named = [layout.user_id]
    invented = (UserId(f"user-{number}") for number in range(1, participants + 1))
    return list(dict.fromkeys([*named, *invented]))[:participants]


def _enter(roster: Roster, user_id: UserId, *, shares: bool) -> None:
    participant_id = ParticipantId(user_id)
    roster.join(Participant(participant_id, user_id, user_id))
    sources = [Source.CAMERA, Source.SCREEN] if shares else [Source.CAMERA]
    for source in sources:
        track_id = TrackId(f"{user_id}/{source.value}")
        roster.publish(Track(track_id, participant_id, Kind.VIDEO, source))
