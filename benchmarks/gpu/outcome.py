"""What a check of `benchmarks.gpu.check` comes to, and the process of its own that it runs in."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

from ftsdk.errors import FtsdkError

Figures = dict[str, Any]
#: Does the check, and returns the place where it ran, and its figures.
Work = Callable[..., tuple[str, Figures]]


class Skipped(Exception):  # noqa: N818
    """What the check needs is not on this machine."""


class Failed(Exception):  # noqa: N818
    """The check ran, and what it found is wrong."""


@dataclass
class Outcome:
    """One check's end.

    Attributes:
        on: the GPU, the CPU or the fake that it ran on; empty where it did not run.
        reason: why it was skipped or failed.
        seconds: with the start of its process.
    """

    name: str
    status: Literal["passed", "failed", "skipped"]
    on: str = ""
    reason: str = ""
    seconds: float = 0.0
    figures: Figures = field(default_factory=dict)


def attempt(name: str, work: Work, arguments: tuple[Any, ...], patience: float) -> Outcome:
    """Run `work` in a new process, which may crash or take too long without harm to the others.

    Args:
        name: of the check.
        work: a function of a module that the new process can import.
        arguments: its arguments.
        patience: seconds after which the process is ended.
    """
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, name, work, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        if receiver.poll(max(patience, 0)):
            outcome: Outcome = receiver.recv()
        else:
            outcome = Outcome(name, "failed", reason=f"no end after {patience:.0f} s")
    except EOFError:
        process.join()
        outcome = Outcome(name, "failed", reason=f"its process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
    outcome.seconds = round(time.perf_counter() - start, 1)
    return outcome


def _child(sender: Connection, name: str, work: Work, arguments: tuple[Any, ...]) -> None:
    try:
        place, figures = work(*arguments)
        outcome = Outcome(name, "passed", place, figures=figures)
    except Skipped as skipped:
        outcome = Outcome(name, "skipped", reason=str(skipped))
    except ImportError as error:
        reason = f"{error}; pip install 'ftsdk[gpu,export,rtx]'"
        outcome = Outcome(name, "skipped", reason=reason)
    except (Failed, FtsdkError) as error:
        outcome = Outcome(name, "failed", reason=" ".join(str(error).split()))
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome(name, "failed", reason=f"{type(error).__name__}: {error}")
    sender.send(outcome)
