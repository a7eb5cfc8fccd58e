"""A graph as ONNX Runtime takes it: bytes that were hashed, and weights of the file that was."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftsdk.verified import BundleGraph, SealedFile

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


@contextmanager
def loadable(graph: Path | BundleGraph, options: Any) -> Iterator[str | bytes]:
    """Yield what a session is made of, with `options` that say where its weights are.

    Weights beside a graph are gigabytes, which the runtime maps itself, from the directory that is
    open here; a link is mapped here, since the runtime follows none out of that directory.

    Raises:
        BundleFileAlteredError: the weights were not, or at the end are not, what was hashed.
    """
    if isinstance(graph, Path):
        yield str(graph)
    elif graph.weights is None:
        # A graph that refers to files all the same finds none.
        options.add_session_config_entry(_WEIGHTS_FOLDER, os.devnull)
        yield graph.content
    else:
        bring = _mapped if graph.weights.path.is_symlink() else _in_folder
        with bring(graph.weights, options):
            yield graph.content


@contextmanager
def _in_folder(weights: SealedFile, options: Any) -> Iterator[None]:
    handle = os.open(weights.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = Path(f"/proc/self/fd/{handle}")
        held = SealedFile(folder / weights.path.name, weights.seal)
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder))
        with held.opened():
            yield
    finally:
        os.close(handle)


@contextmanager
def _mapped(weights: SealedFile, options: Any) -> Iterator[None]:
    with (
        weights.opened() as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content,
    ):
        options.add_external_initializers_from_files_in_memory(
            [weights.path.name], [content], [len(content)]
        )
        yield
