"""Where an analyzer reads picture files: in this process, or in others that can be ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from ftsdk.imaging.codec import decode_file
from ftsdk.imaging.decode import Color, Source, check_max_pixels, decode
from ftsdk.imaging.picture import MAX_PIXELS, Picture
from ftsdk.report.credentials import Credentials, read_credentials
from ftsdk.stopwatch import Stopwatch

if TYPE_CHECKING:
    from ftsdk.imaging.isolation import DecoderPool


class PictureReader:
    """Decodes pictures within limits.

    Args:
        isolate: decode files in processes with limits on memory and time; Linux only.
        max_pixels: width times height that is refused when exceeded, by the header.

    Raises:
        OptionError: decoding cannot be isolated here, or `max_pixels` is no number of pixels.
    """

    def __init__(self, isolate: bool, max_pixels: int) -> None:
        check_max_pixels(max_pixels)
        self._pool = _decoder_pool() if isolate else None
        self._max_pixels = max_pixels

    def read(self, image: Source, color: Color, watch: Stopwatch) -> Picture:
        """Decode one picture; see `decode`, whose errors this raises."""
        return self._decode(image, color, watch, self._max_pixels)

    def read_again(self, data: BinaryIO) -> Picture:
        """Decode what was decoded before, perhaps within other limits."""
        return self._decode(data, "bgr", Stopwatch(), max(self._max_pixels, MAX_PIXELS))

    def credentials(self, data: bytes, watch: Stopwatch) -> Credentials:
        """Read a picture file's Content Credentials; see `read_credentials`.

        Raises:
            AnalysisCancelledError: the time-out passed, or the analysis was given up.
        """
        return self._pool.credentials(data, watch) if self._pool else read_credentials(data)

    def _decode(self, image: Source, color: Color, watch: Stopwatch, max_pixels: int) -> Picture:
        in_pool = partial(self._pool.decode, watch=watch) if self._pool else decode_file
        return decode(image, color=color, max_pixels=max_pixels, file_decoder=in_pool)

    def close(self) -> None:
        """End the other processes."""
        if self._pool:
            self._pool.close()


def _decoder_pool() -> DecoderPool:
    from ftsdk.imaging.isolation import DecoderPool  # only where it is asked for, and on Linux

    return DecoderPool()
