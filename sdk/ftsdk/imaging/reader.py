"""Where an analyzer decodes its pictures: in this process, or in others that can be ended."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ftsdk.imaging.codec import decode_file
from ftsdk.imaging.decode import Color, Source, decode
from ftsdk.imaging.picture import Picture
from ftsdk.stopwatch import Stopwatch

if TYPE_CHECKING:
    from ftsdk.imaging.isolation import DecoderPool


class PictureReader:
    """Decodes pictures within limits.

    Args:
        isolate: decode files in processes with limits on memory and time; Linux only.
        max_pixels: width times height that is refused when exceeded, by the header.

    Raises:
        OptionError: decoding cannot be isolated here.
    """

    def __init__(self, isolate: bool, max_pixels: int) -> None:
        self._pool = _decoder_pool() if isolate else None
        self._max_pixels = max_pixels

    def read(self, image: Source, color: Color, watch: Stopwatch) -> Picture:
        """Decode one picture; see `decode`, whose errors this raises."""
        in_pool = partial(self._pool.decode, watch=watch) if self._pool else decode_file
        return decode(image, color=color, max_pixels=self._max_pixels, file_decoder=in_pool)

    def close(self) -> None:
        """End the other processes."""
        if self._pool:
            self._pool.close()


def _decoder_pool() -> DecoderPool:
    from ftsdk.imaging.isolation import DecoderPool  # only where it is asked for, and on Linux

    return DecoderPool()
