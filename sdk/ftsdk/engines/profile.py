"""Which shapes a plan takes: the least, the usual and the most of each axis that varies."""

from __future__ import annotations

from collections.abc import Mapping

from ftsdk.bundle import Bundle
from ftsdk.imaging.face_detector import SIDE, STEP

#: Least, usual and most of an axis.
Axis = tuple[int, int, int]

#: Beams that a plan takes at most; ONNX Runtime takes any number.
MOST_BEAMS = 8
#: Beams of all faces that a decoder steps at once.
MOST_ROWS = 32
#: Faces of a picture that a plan takes at once.
FACES_AT_ONCE = 4
#: Report tokens that a plan takes at least.
LEAST_TOKENS = 128


def profile_of(bundle: Bundle) -> dict[str, Axis]:
    """Return the range of every named axis of a bundle's graphs."""
    manifest = bundle.manifest
    text = manifest.language_tokenizer.max_tokens
    if manifest.qformer_tokenizer:
        text = max(text, manifest.qformer_tokenizer.max_tokens)
    queries = int(bundle.golden()["qformer_output"].shape[1])
    tokens = max(manifest.generation.max_new_tokens, LEAST_TOKENS)
    several = manifest.language.several_faces
    rows = MOST_ROWS if several else MOST_BEAMS
    return {
        "batch": (1, 1, FACES_AT_ONCE if manifest.framing == "face" else 1),
        "faces": (1, 1, MOST_ROWS if several else 1),
        "text": (1, min(64, text), text),
        "source": (queries + 1, queries + min(64, text), queries + text),
        "beams": (1, 1, rows),
        "length": (1, tokens // 4, tokens),
        "slots": (1, tokens, rows * tokens),
        "height": (STEP, SIDE, SIDE),
        "width": (STEP, SIDE, SIDE),
    }


def described(profile: Mapping[str, Axis]) -> str:
    """Return the profile in one line, the same for the same shapes."""
    return ", ".join(f"{name} {'/'.join(map(str, axis))}" for name, axis in sorted(profile.items()))
