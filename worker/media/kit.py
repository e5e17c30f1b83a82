"""Makes the media objects of one job."""

from collections.abc import Sequence
from pathlib import Path

from worker.core.layout.geometry import Size
from worker.core.spec import ImageRef
from worker.core.template import EncodeTemplate
from worker.media.aac import DEFAULT_BITRATE_KBPS, AacEncoder
from worker.media.compose import TileCompositor
from worker.media.decode import NativeVideoDecoder
from worker.media.encode import EncoderSettings, X264Encoder
from worker.media.images import FetchImage, ImageLibrary
from worker.media.mux import Mp4Muxer
from worker.media.opus import OpusDecoder
from worker.media.still import jpeg_still
from worker.media.ts_segments import TsSegments
from worker.ports import Canvas, Program


class PyavKit:
    """`ports.MediaKit` over PyAV, libopus and Pillow. All compositors share its images."""

    def __init__(
        self,
        encoder: EncoderSettings | None = None,
        *,
        audio_bitrate_kbps: int = DEFAULT_BITRATE_KBPS,
        fetch_image: FetchImage | None = None,
    ) -> None:
        self._encoder = encoder or EncoderSettings()
        self._audio_bitrate_kbps = audio_bitrate_kbps
        self._images = ImageLibrary(fetch_image)

    def video_decoder(self) -> NativeVideoDecoder:
        return NativeVideoDecoder()

    def audio_decoder(self) -> OpusDecoder:
        return OpusDecoder()

    def compositor(self, canvas: Size) -> TileCompositor:
        return TileCompositor(canvas, self._images)

    def video_encoder(self, template: EncodeTemplate) -> X264Encoder:
        return X264Encoder(template, self._encoder)

    def audio_encoder(self) -> AacEncoder:
        return AacEncoder(self._audio_bitrate_kbps)

    def mp4(self, path: Path, program: Program) -> Mp4Muxer:
        return Mp4Muxer(path, program)

    def segments(self, program: Program) -> TsSegments:
        return TsSegments(program)

    def load_images(self, images: Sequence[ImageRef]) -> Sequence[str]:
        """Load background images before they are shown; one warning per broken one."""
        return self._images.load(images)

    def still(self, canvas: Canvas) -> bytes:
        """*canvas* as a small JPEG, for people."""
        return jpeg_still(canvas)
