"""How a session of ONNX Runtime is made, and what of it decides which numbers a graph computes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from ftsdk.machine import has_vnni, is_x86

#: Microseconds for which a thread stays awake without work, as the runtime reads it. Each graph has
#: its own threads: awake for the runtime's default they would take the cores from the next graph,
#: asleep at once a large decoder's second thread misses most of its products.
SPIN_US = "20"


def many_rows(stage: str) -> bool:
    """Return whether a stage's products have dozens of rows."""
    return stage != "language_decoder"


def session_options(
    runtime: ModuleType, threads: int, many_rows: bool, profile: Path | None = None
) -> Any:
    """Return the `SessionOptions` of a graph; see `OnnxRuntimeEngine`."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    for name, value in arithmetic(many_rows).items():
        options.add_session_config_entry(name, value)
    # A plan of a run's memory is made at the first run and taken anew at the second; it holds for
    # inputs of one shape, and texts and batches differ.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return options


def arithmetic(many_rows: bool) -> dict[str, str]:
    """Return the settings that change which numbers a graph computes on this processor."""
    chosen = {}
    # Without VNNI, 8-bit products in their fastest form overflow 16 bits: nano's image embeddings
    # were four times as far from float32. With it they are exact, and this form three times slower.
    if not has_vnni():
        chosen["session.x64quantprecision"] = "1"
    # For a step of one row the runtime rounds what meets 4-bit weights to 8 bits, and keeps scales
    # and sums beside the weights for that, half their size again. Without VNNI that is no faster
    # where there are many rows.
    if many_rows and is_x86() and not has_vnni():
        chosen["session.qdq_matmulnbits_accuracy_level"] = "1"
    return chosen


def as_prepared(runtime: ModuleType, options: Any) -> None:
    """Take a graph as it is: it was saved by `saving_prepared`."""
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL


def saving_prepared(options: Any, graph: Path, weights: str) -> None:
    """Have a session write what it made of its graph, and beside it weights as kernels read them.

    Args:
        options: of a session that is made for nothing else.
        graph: where the optimised graph goes.
        weights: name of the file beside it.
    """
    options.optimized_model_filepath = str(graph)
    named = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{named}_file_name", weights)
    options.add_session_config_entry(f"{named}_min_size_in_bytes", "1024")
    options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
