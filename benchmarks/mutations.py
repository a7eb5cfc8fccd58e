"""Decodes mutated pictures of every format in one process, and tells the worst of each.

    python benchmarks/mutations.py [FORMAT ...] --files 10000

An error that is not ftsdk's own ends it with the file's seed. Times are of the processor, so that
other work on the machine does not count; memory is the peak of the process while it decodes a
file, above what it held before (Linux).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pillow_jxl  # noqa: F401  # lets Pillow write JPEG XL
from picture_files import animated, encoded, save, scene
from PIL import Image

from ftsdk.errors import InputError
from ftsdk.imaging.decode import decode

_PICTURES = Path(__file__).parents[1] / "tests" / "pictures"


def originals() -> dict[str, list[bytes]]:
    """Return files of each format."""
    image = Image.fromarray(scene())
    return {
        "JPEG": [encoded("jpeg"), encoded("progressive"), encoded("restarts")],
        "PNG": [encoded("png"), animated("PNG"), save(image.convert("P"), "PNG")],
        "WebP": [encoded("webp"), encoded("lossless webp"), animated("WEBP")],
        "TIFF": [
            save(image, "TIFF", compression=way)
            for way in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ],
        "BMP": [save(image, "BMP"), save(image.convert("P"), "BMP")],
        "GIF": [save(image, "GIF"), animated("GIF")],
        "HEIC": [(_PICTURES / "scene.heic").read_bytes()],
        "AVIF": [save(image, "AVIF", quality=80)],
        "JPEG XL": [save(image, "JXL", quality=80), save(image, "JXL", lossless=True)],
    }


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a file with one to eight faults, half of them among its first 600 bytes."""
    file = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        last = len(file) - 1
        at = chance.randint(0, min(last, 600) if chance.random() < 0.5 else last)
        length = chance.randint(1, 1 + last // 8)
        match chance.randrange(8):
            case 0 | 1:
                file[at] ^= 1 << chance.randrange(8)
            case 2 | 3:
                file[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 4:
                file[at : at + 4] = chance.randbytes(4)
            case 5:
                file[at : at + length] = bytes([chance.choice((0, 0xFF))]) * length
            case 6:
                file[at:at] = file[at : at + length] * chance.randint(1, 3)
            case 7:
                del file[at : at + length]
        if len(file) < 16:
            return bytes(file)
    return bytes(file)


def with_sums(data: bytes) -> bytes:
    """Return a PNG whose chunks have the right sums again, so that its decoder sees the faults."""
    file, at = bytearray(data), 8
    while at + 12 <= len(file):
        end = at + 8 + int.from_bytes(file[at : at + 4], "big")
        if end + 4 > len(file):
            break
        file[end : end + 4] = zlib.crc32(file[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(file)


def _memory(fact: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
        return next(int(line.split()[1]) for line in file if line.startswith(fact))


def measure(files: list[bytes], count: int, seed: int) -> dict[str, object]:
    """Decode `count` mutations and return what became of them."""
    outcomes: Counter[str] = Counter()
    slowest, largest = (0.0, -1), (0, -1)
    for number in range(count):
        chance = random.Random(seed + number)
        data = mutated(chance.choice(files), chance)
        if data.startswith(b"\x89PNG") and number % 4:
            data = with_sums(data)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, start = _memory("VmRSS"), time.process_time()
        try:
            decode(data)
            outcomes["decoded"] += 1
        except InputError as error:
            outcomes[type(error).__name__] += 1
        except BaseException as error:
            raise AssertionError(f"seed {seed + number}: {error!r}") from error
        slowest = max(slowest, (time.process_time() - start, seed + number))
        largest = max(largest, (_memory("VmHWM") - before, seed + number))
    return {
        "files": count,
        "outcomes": dict(outcomes.most_common()),
        "slowest_ms": round(slowest[0] * 1e3, 1),
        "slowest_seed": slowest[1],
        "largest_mib": round(largest[0] / 1024, 1),
        "largest_seed": largest[1],
    }


def main() -> None:
    """Print a line of JSON a format."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = originals()
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(known))
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name in arguments.formats or known:
        found = measure(known[name], arguments.files, arguments.seed)
        print(json.dumps({"format": name, **found}), flush=True)


if __name__ == "__main__":
    main()
