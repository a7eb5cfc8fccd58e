"""The analyzer's chain for exporters, who bring an engine of their own to each stage."""

from __future__ import annotations

from ftsdk.bundle import Bundle
from ftsdk.chain import Chain
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine


def chain_of(bundle: Bundle) -> Chain:
    """Return a bundle's chain with no engine but the one that finds the faces.

    An export is held against the faces that the bundle itself finds.
    """
    chain = Chain(bundle)
    if FACE_DETECTOR in bundle.manifest.stages:
        graph = bundle.file(bundle.manifest.stages[FACE_DETECTOR].graph)
        chain.stages[FACE_DETECTOR] = OnnxRuntimeEngine(graph)
    return chain
