"""What several faces of a picture cost: processor time by step, beside that of one.

    python -m benchmarks.faces --runs 15

The portrait is the file examples/pictures/portrait_forged.jpg. One face, and eight of the same size
in px, are it on grey in pictures of the same size, or by turns with portrait.jpg. The pictures take
turns, and of each step the least time stands, which is what it takes where nobody else wants the
processor.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.sections import MarkdownTable, measured_here
from ftsdk.analyzer import Analyzer
from ftsdk.events import Finished
from ftsdk.imaging.decode import decode
from ftsdk.question import Question
from ftsdk.stopwatch import Stopwatch

_PICTURES = Path(__file__).parents[1] / "examples" / "pictures"
#: Px across of a face's square, and the squares of a picture across and down.
_SIDE, _ACROSS, _DOWN = 384, 4, 2
_GREY = 128
#: What is not timed as a step: mostly what is made of tensors between the steps.
_REST = "all else"

Times = dict[str, float]


class ProcessorWatch(Stopwatch):
    """Counts what all threads of the process spend, in place of what passes meanwhile."""

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add the processor time inside to `step`, in ms."""
        start = time.process_time()
        yield
        spent = (time.process_time() - start) * 1e3
        self.milliseconds[step] = self.milliseconds.get(step, 0.0) + spent


def composed(*names: str) -> NDArray[np.uint8]:
    """Return a grey picture with a portrait in each of its first squares, [H, W, 3] uint8 BGR."""
    picture = np.full((_DOWN * _SIDE, _ACROSS * _SIDE, 3), _GREY, np.uint8)
    for place, name in enumerate(names):
        portrait = decode(_PICTURES / name).pixels
        top, left = (_SIDE * index for index in divmod(place, _ACROSS))
        square = cv2.resize(portrait, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        picture[top : top + _SIDE, left : left + _SIDE] = square
    return picture


def measure(analyzer: Analyzer, picture: Path | NDArray[np.uint8], faces: int) -> Times:
    """Analyse once; return ms of processor time by step, of all of it, and of all before the mask.

    `wall` is what passed meanwhile.
    """
    watch, question = ProcessorWatch(), Question(None, None, True, analyzer.language)
    start, clock = time.process_time(), time.perf_counter()
    views = analyzer.prepare(picture, "bgr", watch)
    assert analyzer.unanswered(views, watch) is None
    assert len(views) == faces
    views = analyzer.look(views, watch)
    assert analyzer.unanswered(views, watch) is None
    asked = analyzer.ask(views, question, watch)
    regions = time.process_time()
    located = analyzer.locate(asked, question, watch)
    mask = time.process_time()
    *_, finished = analyzer.explain(located, question, watch)
    end, passed = time.process_time(), time.perf_counter() - clock
    assert isinstance(finished, Finished)
    assert all(one.report for one in (finished.result, *finished.result.others))
    times = {**watch.milliseconds, "whole": (end - start) * 1e3}
    times[_REST] = times["whole"] - sum(watch.milliseconds.values())
    return times | {
        "until regions": (regions - start) * 1e3,
        "until mask": (mask - start) * 1e3,
        "whole, wall": passed * 1e3,
    }


def main(
    runs: Annotated[int, typer.Option(help="Analyses of each picture.")] = 15,
    publish: Annotated[bool, typer.Option(help="Write the table to docs/benchmarks.md.")] = False,
) -> None:
    """Print ms of processor time by step: the least of the runs, and how many times one face's."""
    forged, untouched = "portrait_forged.jpg", "portrait.jpg"
    pictures: dict[str, tuple[Path | NDArray[np.uint8], int]] = {
        "portrait": (_PICTURES / forged, 1),
        "one": (composed(forged), 1),
        "eight": (composed(*[forged] * 8), 8),
        "eight by turns": (composed(*[forged, untouched] * 4), 8),
    }
    least: dict[str, Times] = defaultdict(dict)
    with Analyzer(device="cpu", threads=1, cache_bytes=0) as analyzer:
        for _ in range(runs + 1):  # the first ones warm up, and are never the least
            for name, (picture, faces) in pictures.items():
                for step, ms in measure(analyzer, picture, faces).items():
                    least[name][step] = min(ms, least[name].get(step, ms))
    table, note = _table(least), f"nano, least of {runs} by turns. {measured_here()}"
    if publish:
        table.publish("faces", note)


def _table(least: Mapping[str, Times]) -> MarkdownTable:
    more = [name for name in least if name.startswith("eight")]
    table = MarkdownTable(("ms of processor time", *least, *(f"{name} / one" for name in more)))
    for step, alone in least["one"].items():
        times = [f"{one.get(step, 0.0):.1f}" for one in least.values()]
        ratios = [least[name][step] / alone for name in more]
        table.add((step.replace("_", " "), *times, *(f"{ratio:.1f}" for ratio in ratios)))
    for event in ("until regions", "until mask"):
        shares = (f"{one[event] / one['whole']:.0%}" for one in least.values())
        table.add((f"{event}, of the whole", *shares, *("" for _ in more)))
    return table


if __name__ == "__main__":
    typer.run(main)
