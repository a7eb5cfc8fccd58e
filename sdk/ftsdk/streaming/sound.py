"""A video's sound, copied as it is beside frames that are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

#: What an MP4 file holds and players play.
_PLAYED = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"}


class Sound:
    """The first sound track of a video, packet by packet, into an MP4 file that PyAV writes.

    Args:
        source: the video.
        out: PyAV's output, whose header is not written yet.

    Attributes:
        said: what became of it, in words.
    """

    def __init__(self, source: Path, out: Any) -> None:
        self._out, self._packets = out, self._opened(source)
        self._next = next(self._packets, None)

    def _opened(self, source: Path) -> Iterator[tuple[float, Any]]:
        """Yield when each packet is heard, in s since the video's start, and the packet."""
        import av

        self.said = "without sound: the source has none"
        with suppress(av.FFmpegError), closing(av.open(str(source))) as container:
            tracks = container.streams.audio
            if not tracks:
                return
            if tracks[0].codec_context.name not in _PLAYED:
                self.said = f"without its sound, which is {tracks[0].codec_context.name}"
                return
            stream = self._out.add_stream_from_template(tracks[0])
            self.said = "with its sound"
            start = (container.start_time or 0) / av.time_base
            for packet in container.demux(tracks[0]):
                if packet.pts is None or packet.dts is None:  # the last one is empty
                    continue
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                yield float(packet.pts * packet.time_base), packet

    def copy(self, until: float) -> None:
        """Write what is heard before `until`, in s."""
        while self._next and self._next[0] < until:
            self._out.mux(self._next[1])
            self._next = next(self._packets, None)
