"""Files that cost a decoder most for their size, each answered or refused: how fast, and how.

    python benchmarks/hostile.py --timeout 3

Every file goes through an analyzer's decoders, which are processes of their own; times are of the
wall, so that a busy machine shows. The last line is the slowest, which has to stay within the
time-out and a second.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from picture_files import animated, chunk, encoded, png_of, save, scene
from PIL import Image

from ftsdk.errors import FtsdkError
from ftsdk.imaging.decode import decode
from ftsdk.imaging.isolation import DecoderPool
from ftsdk.stopwatch import Stopwatch


def _bomb(size: int) -> bytes:
    """Return a deflate stream of about `size` bytes that inflates to a thousand times as many."""
    deflate = zlib.compressobj(9)
    first, more = (
        deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_SYNC_FLUSH) for _ in range(2)
    )
    return first + more * (size // len(more))


def _progressive(side: int, scans: int) -> bytes:
    data = bytearray(save(Image.new("L", (16, 16), 100), "JPEG", progressive=True))
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(data[:-2]) + bytes(data[data.rindex(b"\xff\xda") : -2]) * scans + b"\xff\xd9"


def _riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def files(size: int, side: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and files of about `size` bytes, or of `side` px squared, as they are made."""
    import pillow_jxl  # noqa: F401  # lets Pillow write JPEG XL

    yield from _jpegs(size, side)
    yield from _pngs(size, side)
    yield from _others(size, side)


def _jpegs(size: int, side: int) -> Iterator[tuple[str, bytes]]:
    jpeg = encoded("jpeg")
    tables = b"\xff\xdb\xff\xf2" + (b"\1" + b"\x10" * 64) * 1008
    yield "runs of FF", b"\xff\xd8" + b"\xff" * size + b"\0"
    yield "runs of FF in a scan", jpeg[:-2] + b"\xff" * size + b"\0" + jpeg[-2:]
    yield "stuffed FF in a scan", jpeg[:-2] + b"\xff\0" * (size // 2) + jpeg[-2:]
    yield "restart markers", jpeg[:-2] + b"\xff\xd0" * (size // 2) + jpeg[-2:]
    yield "empty segments", jpeg[:2] + b"\xff\xe0\0\2" * (size // 4) + jpeg[2:]
    yield "tables", jpeg[:2] + tables * (size // len(tables)) + jpeg[2:]
    yield "start markers", b"\xff\xd8" * (size // 2) + jpeg[2:]
    yield "199 scans of the largest", _progressive(side, 190)
    yield "as many scans of the largest as may", _progressive(side, 2 * 10**9 // side**2 - 9)
    yield "100 scans of 20 megapixels", _progressive(4_400, 90)


def _pngs(size: int, side: int) -> Iterator[tuple[str, bytes]]:
    head, end, bomb = png_of(64, 64)[:33], chunk(b"IEND", b""), _bomb(size)
    rows = chunk(b"IDAT", zlib.compress(bytes(64 * 193)))
    yield "PNG text that inflates", head + chunk(b"zTXt", b"a\0\0" + bomb) + rows + end
    yield "PNG profile that inflates", head + chunk(b"iCCP", b"a\0\0" + bomb) + rows + end
    yield "PNG rows that inflate", head + chunk(b"IDAT", bomb) + end
    yield "PNG chunks", head + chunk(b"tEXt", b"") * (size // 12) + rows + end
    yield "PNG chunks as many as may", head + chunk(b"tEXt", bytes(1100)) * 29_000 + rows + end
    wide = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 1)
    data = chunk(b"IDAT", zlib.compress(bytes(8 * side**2 + 100_000), 1))
    yield "interlaced PNG of the largest size", head[:8] + chunk(b"IHDR", wide) + data + end


def _others(size: int, side: int) -> Iterator[tuple[str, bytes]]:
    webp, moving = encoded("webp"), animated("WEBP")
    first = moving.index(b"ANMF")
    frame = moving[first : moving.index(b"ANMF", first + 4)]
    yield "WebP chunks", _riff(webp[12:] + b"JUNK\0\0\0\0" * (size // 8))
    yield "WebP frames", _riff(moving[12:] + frame * (size // len(frame)))
    image = Image.fromarray(scene())
    gif = save(image, "GIF")
    table = 13 + (3 << ((gif[10] & 7) + 1))
    yield "GIF comments", gif[:table] + b"\x21\xfe\1a\0" * (size // 5) + gif[table:]
    yield "GIF frames", gif[:-1] + gif[table:-1] * (size // len(gif)) + b";"
    large = bytearray(gif)
    large[6:10] = struct.pack("<HH", side, side)
    yield "GIF canvas of the largest size", bytes(large)
    yield "HEIC boxes", (_heic() + struct.pack(">I4s", 8, b"free") * (size // 8))
    plain = Image.new("RGB", (side, side))
    yield "TIFF of the largest size", save(plain, "TIFF", compression="tiff_adobe_deflate")
    yield "PNG of the largest size", save(plain, "PNG")
    yield "AVIF of 16 megapixels", save(Image.new("RGB", (4_000, 4_000)), "AVIF", speed=10)
    yield "JPEG XL of 16 megapixels", save(Image.new("RGB", (4_000, 4_000)), "JXL", effort=1)


def _heic() -> bytes:
    return (Path(__file__).parents[1] / "tests" / "pictures" / "scene.heic").read_bytes()


def main() -> None:
    """Print a line of JSON a file, and the slowest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timeout", type=float, default=3.0)
    timeout = parser.parse_args().timeout
    slowest = (0.0, "")
    with closing(DecoderPool()) as pool:
        for name, data in files(32 << 20, 10_000):
            start = time.perf_counter()
            try:
                decoder = partial(pool.decode, watch=Stopwatch(timeout))
                picture = decode(data, file_decoder=decoder)
                outcome = f"{picture.width}x{picture.height}"
            except FtsdkError as error:
                outcome = type(error).__name__
            spent = time.perf_counter() - start
            slowest = max(slowest, (spent, name))
            line = {"file": name, "mib": round(len(data) / 2**20, 2), "outcome": outcome}
            print(json.dumps({**line, "seconds": round(spent, 2)}), flush=True)
    print(json.dumps({"slowest": slowest[1], "seconds": round(slowest[0], 2)}))


if __name__ == "__main__":
    main()
