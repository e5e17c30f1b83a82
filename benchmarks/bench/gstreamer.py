"""GStreamer doing the same from files, with its compositor and audiomixer."""

from collections.abc import Sequence
from pathlib import Path

from bench.cases import Case
from bench.streams import PersonFiles
from worker.core.layout.geometry import Rect, cover_crop
from worker.media.aac import DEFAULT_BITRATE_KBPS
from worker.media.encode import (
    KEYFRAME_INTERVAL_S,
    EncoderSettings,
    average_bps,
    encoder_threads,
    x264_options,
)

VARIANTS = ("videoscale", "compositor")
_SOURCES = {
    "vp8": "matroskademux ! vp8dec threads=1",
    "h264": "qtdemux ! h264parse ! avdec_h264 max-threads=1",
}


def command(
    case: Case,
    files: Sequence[PersonFiles],
    frames: int,
    output: Path,
    variant: str,
    *,
    paced: bool,
) -> list[str]:
    """The command line; *variant* is the element that scales the tiles.

    *paced*: at the pace of time instead of as fast as it goes.
    """
    pads: list[str] = []
    branches: list[str] = []
    for index, (person, box) in enumerate(zip(files, case.boxes, strict=True)):
        pads += _pad(index, box, scaled=variant == "videoscale")
        branches += [
            *("filesrc", f"location={person.video}", "!", *_SOURCES[case.codec].split()),
            *_fitted(case, box, scaled=variant == "videoscale"),
            *("!", f"c.sink_{index}"),
            *("filesrc", f"location={person.audio}", "!", "oggdemux", "!", "opusdec"),
            *("!", "m."),
        ]
    canvas, fps = case.template.size, case.template.fps
    return [
        *("gst-launch-1.0", "-q"),
        *("compositor", "name=c", "background=black", "max-threads=1", *pads, "!"),
        f"video/x-raw,format=I420,width={canvas.width},height={canvas.height},framerate={fps}/1",
        # A last picture without a duration would be shown for one more frame.
        *("!", "identity", f"sync={paced}", f"eos-after={frames + 1}"),
        *("!", *_encoder(case)),
        *("!", "video/x-h264,profile=high", "!", "queue", "!", "f."),
        *("audiomixer", "name=m", "!", "audio/x-raw,rate=48000,channels=2", "!"),
        *("audioconvert", "!", "avenc_aac", f"bitrate={DEFAULT_BITRATE_KBPS * 1000}"),
        *("aac-coder=fast", "!", "queue", "!", "f."),
        *("mp4mux", "name=f", "!", "filesink", f"location={output}"),
        *branches,
    ]


def _fitted(case: Case, box: Rect, *, scaled: bool) -> list[str]:
    region = cover_crop(case.size, box.size)
    steps: list[str] = []
    if region.size != case.size:
        right = case.size.width - region.width - region.x
        bottom = case.size.height - region.height - region.y
        steps += ["!", "videocrop", f"left={region.x}", f"right={right}"]
        steps += [f"top={region.y}", f"bottom={bottom}"]
    if scaled and region.size != box.size:
        steps += ["!", "videoscale", "method=bilinear", "n-threads=1", "!"]
        steps += [f"video/x-raw,width={box.width},height={box.height}"]
    return steps


def _pad(index: int, box: Rect, *, scaled: bool) -> list[str]:
    place = [f"sink_{index}::xpos={box.x}", f"sink_{index}::ypos={box.y}"]
    if scaled:
        return place
    return [
        *place,
        f"sink_{index}::width={box.width}",
        f"sink_{index}::height={box.height}",
    ]


def _encoder(case: Case) -> list[str]:
    template, settings = case.template, EncoderSettings()
    options = x264_options(template, settings)
    interval = KEYFRAME_INTERVAL_S * template.fps
    # Properties win over the option string, so what both can say is said by property. The rate
    # of the buffer cannot be told apart from the average, only its size.
    parameters = dict(pair.split("=") for pair in options["x264-params"].split(":"))
    lookahead = parameters.pop("rc-lookahead")
    del parameters["keyint"]
    rate_bps = average_bps(template)
    return [
        "x264enc",
        f"speed-preset={options['preset']}",
        f"threads={encoder_threads(template, settings)}",
        f"bitrate={rate_bps // 1000}",
        f"vbv-buf-capacity={int(options['bufsize']) * 1000 // rate_bps}",
        f"key-int-max={interval}",
        f"rc-lookahead={lookahead}",
        "bframes=0",
        "b-adapt=false",
        "mb-tree=true",
        "option-string=" + ":".join(f"{name}={value}" for name, value in parameters.items()),
    ]
