"""Engines in another process: they stay where they were loaded.

After a fork their threads are the parent's alone, so that using one would wait for ever; pickled,
nothing of them would arrive.
"""

from __future__ import annotations

import ctypes
import os
from typing import NoReturn

from ftsdk.engines.contract import Engine
from ftsdk.errors import EngineRunError, OptionError

_OF_ONE_PROCESS = "an analyzer that is used in the process that opened it"


class ForkedEngine(Engine):
    """What a forked child has in the place of its parent's engine, which it may not use nor free.

    Raises:
        EngineRunError: from `infer` and `bind`.
    """

    def __init__(self, parents: Engine) -> None:
        never_free(parents)

    def infer(self, *_: object, **__: object) -> NoReturn:
        _refuse()

    def bind(self, *_: object, **__: object) -> NoReturn:
        _refuse()

    def close(self) -> None:
        """Do nothing: the graph is the parent's."""


def never_free(parents: object) -> None:
    """Keep from its destructor what the parent opened; it would wait for threads that are not here.

    A reference too many holds also while the interpreter ends.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(parents))


def end_at_once() -> None:
    """Let this process, once Python has ended, leave out what the C libraries destroy at exit.

    ONNX Runtime waits there for ever in a forked child, even for one that never opened a graph.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc
        libc.on_exit(libc._exit, None)


def refuse_pickling() -> NoReturn:
    """Raise OptionError: who sends an analyzer elsewhere is told to open one there."""
    raise OptionError(
        "an analyzer cannot be pickled, and so not be sent to another process",
        expected=_OF_ONE_PROCESS,
        found="pickle or copy",
        cure="open one in each process, as with Pool(initializer=...), and send paths and results",
    )


def _refuse() -> NoReturn:
    raise EngineRunError(
        "this analyzer was opened before the process was forked",
        expected=_OF_ONE_PROCESS,
        found=f"process {os.getpid()}, a child of process {os.getppid()}",
        cure="open it in the child, as with Pool(initializer=...), or start children by 'spawn'",
    )
