"""The faces of the pictures that an export is held against, as the bundle itself finds them."""

from __future__ import annotations

from functools import cache

from ftsdk.bundle import Bundle
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.engines.contract import Arrays, arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.faces import Framer, make_framer


def framer_of(bundle: Bundle) -> Framer:
    """Return what frames pictures for the bundle's model; the graph is loaded when it is needed."""

    @cache
    def engine() -> OnnxRuntimeEngine:
        return OnnxRuntimeEngine(bundle.file(bundle.manifest.stages[FACE_DETECTOR].graph))

    def infer(inputs: Arrays) -> Arrays:
        return arrays(engine().infer(inputs))

    return make_framer(bundle.manifest, infer)
