"""ffmpeg doing the same from files: decode, scale, put together, mix, encode, write MP4."""

from collections.abc import Sequence
from pathlib import Path

from bench.cases import Case
from bench.streams import PersonFiles
from worker.core.layout.geometry import cover_crop
from worker.media.aac import DEFAULT_BITRATE_KBPS
from worker.media.encode import (
    KEYFRAME_INTERVAL_S,
    EncoderSettings,
    average_bps,
    encoder_threads,
    x264_options,
)

VARIANTS = ("xstack", "overlay")


_LAST_LONGER = "tpad=stop_mode=clone:stop_duration=1"
"""A last picture without a duration would be missing, and a recording one frame short."""


def command(
    case: Case,
    files: Sequence[PersonFiles],
    frames: int,
    output: Path,
    variant: str,
    *,
    paced: bool,
) -> list[str]:
    """The command line; *variant* is the filter that puts the tiles together.

    *paced*: at the pace of time instead of as fast as it goes.
    """
    inputs: list[str] = []
    for file in (*(person.video for person in files), *(person.audio for person in files)):
        inputs += [*(["-re"] if paced else []), "-threads", "1", "-i", str(file)]
    graph = ";".join(
        (
            *_tiles(case),
            _stacked(case) if variant == "xstack" else _overlaid(case),
            _mixed(len(files)),
        )
    )
    return [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"),
        *inputs,
        *("-filter_complex_threads", "1", "-filter_complex", graph),
        *("-map", "[v]", "-map", "[a]"),
        *_video(case),
        *("-c:a", "aac", "-b:a", f"{DEFAULT_BITRATE_KBPS}k", "-aac_coder", "fast"),
        *("-ac", "2", "-ar", "48000", "-t", str(frames / case.template.fps)),
        str(output),
    ]


def _video(case: Case) -> list[str]:
    template, settings = case.template, EncoderSettings()
    options = [
        *("-c:v", "libx264", "-b:v", str(average_bps(template)), "-bf", "0"),
        *("-threads", str(encoder_threads(template, settings))),
        *("-force_key_frames", f"expr:gte(t,n_forced*{KEYFRAME_INTERVAL_S})"),
    ]
    for name, value in x264_options(template, settings).items():
        options += [f"-{name}", value]
    return options


def _tiles(case: Case) -> list[str]:
    """Crop, then scale: as we do it, and nothing where the picture has its size already."""
    chains = []
    for index, box in enumerate(case.boxes):
        region = cover_crop(case.size, box.size)
        steps = []
        if region.size != case.size:
            steps.append(f"crop={region.width}:{region.height}:{region.x}:{region.y}")
        if region.size != box.size:
            steps.append(f"scale={box.width}:{box.height}:flags=area")
        chains.append(f"[{index}:v]{','.join(steps) or 'null'}[t{index}]")
    return chains


def _stacked(case: Case) -> str:
    canvas = case.template.size
    rate = f"fps={case.template.fps},{_LAST_LONGER}"
    if case.people == 1:
        return f"[t0]{rate}[v]"
    labels = "".join(f"[t{index}]" for index in range(case.people))
    layout = "|".join(f"{box.x}_{box.y}" for box in case.boxes)
    return (
        f"{labels}xstack=inputs={case.people}:layout={layout}:fill=black,"
        f"pad={canvas.width}:{canvas.height}:0:0,{rate}[v]"
    )


def _overlaid(case: Case) -> str:
    canvas, fps = case.template.size, case.source_fps
    chain = [f"color=black:size={canvas.width}x{canvas.height}:rate={fps},format=yuv420p[c0]"]
    for index, box in enumerate(case.boxes):
        chain.append(
            f"[c{index}][t{index}]overlay={box.x}:{box.y}:format=yuv420:eof_action=endall"
            f"[c{index + 1}]"
        )
    chain.append(f"[c{case.people}]fps={case.template.fps},{_LAST_LONGER}[v]")
    return ";".join(chain)


def _mixed(people: int) -> str:
    labels = "".join(f"[{people + index}:a]" for index in range(people))
    return f"{labels}amix=inputs={people}:normalize=0[a]"
