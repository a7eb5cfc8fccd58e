"""Which of a bundle's graphs are prepared for this processor, and how that is done."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ftsdk.bundle import Bundle
from ftsdk.engines.cache import graph_sha256
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine, load_runtime, open_session
from ftsdk.engines.prepared import GraphKey, PreparedGraphs
from ftsdk.engines.session_options import (
    arithmetic,
    many_rows,
    saving_prepared,
    session_options,
)
from ftsdk.errors import EngineCacheError, FtsdkError
from ftsdk.files import open_regular
from ftsdk.machine import has_vnni, is_x86, processor, release_freed_memory
from ftsdk.verified import BundleGraph, Seal, SealedFile

_log = logging.getLogger(__name__)
#: A smaller graph is loaded as fast as its prepared form would be looked up and proven.
LEAST_BYTES = 16 << 20
#: A prepared graph has 2.2 times the bytes of its graph; the disk keeps about as many free.
_ROOM = 4


def prepare_graphs(bundle: Bundle) -> dict[str, BundleGraph]:
    """Return by stage what is prepared for this processor, after preparing what is not yet.

    Where that cannot be kept, or another process is at it, the stage is left out: its graph is
    loaded as it is in the bundle. So is one that would not be loaded faster.
    """
    keys = graph_keys(bundle)
    found = {stage: load_prepared(bundle, key) for stage, key in keys.items()}
    missing = [key for stage, key in keys.items() if found[stage] is None]
    if missing:
        try:
            _prepare(bundle, missing)
        except (FtsdkError, OSError) as error:
            _log.warning("graphs are loaded slowly, since none can be prepared: %s", error)
        found |= {key.stage: load_prepared(bundle, key) for key in missing}
    return {stage: graph for stage, graph in found.items() if graph}


def graph_keys(bundle: Bundle) -> dict[str, GraphKey]:
    """Return by stage what those graphs are kept under that a prepared form loads faster.

    None where nothing is known of the processor, since another one might take them over.
    """
    runtime, here = load_runtime(), processor()
    if here is None:
        return {}
    return {
        stage: GraphKey(
            stage=stage,
            graph_sha256=graph_sha256(bundle, stage),
            runtime=f"onnxruntime {runtime.__version__}",
            build=runtime.get_build_info(),
            processor=here,
            arithmetic=arithmetic(many_rows(stage)),
        )
        for stage in bundle.manifest.stages
        if _pays(bundle, stage)
    }


def load_prepared(bundle: Bundle, key: GraphKey) -> BundleGraph | None:
    """Return what was prepared; None where nothing was, or it is damaged, which is logged."""
    try:
        return PreparedGraphs.beside(bundle).load(key)
    except EngineCacheError as error:
        _log.warning("%s is loaded from the bundle: %s", key.stage, error)
        return None


def _pays(bundle: Bundle, stage: str) -> bool:
    """Tell whether a session takes seconds to turn a graph into what it runs.

    Measured a GB, in processor seconds: 8-bit weights 8.0 where they are moved by half their range,
    which is done without VNNI, else 1.5; 4-bit ones 7.3; float32 2. Prepared: 0.5 to 1.8.
    """
    if bundle.manifest.graph_bytes(stage) < LEAST_BYTES:
        return False
    precision = bundle.manifest.stages[stage].precision
    return precision == "int4" or (precision == "int8" and is_x86() and not has_vnni())


def _prepare(bundle: Bundle, missing: Iterable[GraphKey]) -> None:
    """Prepare graphs, one in memory at a time, unless another process does.

    Raises:
        FtsdkError, OSError: the directory cannot be written, or the runtime fails.
    """
    graphs = PreparedGraphs.beside(bundle)
    with graphs.building() as place:
        if place is None:
            _log.info("another process prepares the graphs of %s", bundle.manifest.name)
            return
        for key in missing:
            # Between the first look and the lock another process may have prepared it.
            if load_prepared(bundle, key) is None and _has_room(bundle, key.stage, graphs.folder):
                _log.info("preparing %s for this processor, once", key.stage)
                start = time.perf_counter()
                _save(bundle, key, place)
                graphs.store(key, place, round(time.perf_counter() - start, 2))


def _has_room(bundle: Bundle, stage: str, folder: Path) -> bool:
    return shutil.disk_usage(folder).free >= _ROOM * bundle.manifest.graph_bytes(stage)


def _save(bundle: Bundle, key: GraphKey, place: Path) -> None:
    """Have a session write a prepared graph into `place`, and another one load it.

    Raises:
        EngineLoadError: the runtime cannot do either.
    """
    runtime, source, rows = load_runtime(), bundle.graph(key.stage), many_rows(key.stage)
    graph, weights = place / f"{key.name}.onnx", place / f"{key.name}.weights"
    options = session_options(runtime, 0, rows)
    saving_prepared(options, graph, weights.name)
    open_session(runtime, source, "cpu", 0, options)
    release_freed_memory()
    with open_regular(weights) as file:
        sealed = SealedFile(weights, Seal.of(file))
    made = BundleGraph(graph.name, graph.read_bytes(), sealed, is_prepared=True)
    OnnxRuntimeEngine(made, "cpu", many_rows=rows).close()
