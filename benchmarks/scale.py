"""What a million pictures take, simulated from the rates that `ft-bench --json` measured.

    python -m benchmarks.scale benchmarks/results/nano-*-torch.json --machines 1 8 64
    python -m benchmarks.scale mine.json --price 0.25 --life 0 --no-publish

Measured is the rate alone. Every other number is an assumption and an option, and is printed with
the table: put your own in. There is no price in here.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sections import MarkdownTable

DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"
_HOUR = 3600.0


@dataclass(frozen=True)
class Assumptions:
    """What nobody measured.

    Attributes:
        pictures: how many, each as dear as the one that the rate was measured with.
        machines: how many work side by side, each at the measured rate all the time.
        start: seconds until a new machine takes its first picture.
        life: mean hours until a machine is lost, at random; 0 is never.
        task: seconds of work that a machine takes at a time, all of it again when it is lost;
            a worker of `ft-batch --ray` holds two tasks of about two seconds.
    """

    pictures: int = 1_000_000
    machines: int = 1
    start: float = 120.0
    life: float = 24.0
    task: float = 4.0


@dataclass(frozen=True)
class Outcome:
    """What came of it: hours on the clock, hours paid, machines lost, pictures begun twice."""

    hours: float
    machine_hours: float
    lost: int
    repeated: int


def simulate(rate: float, given: Assumptions, seed: int = 0) -> Outcome:
    """Return what `given.pictures` take at `rate` pictures a second and machine.

    Whichever machine is free first takes the next task. A lost machine is replaced at once, and
    each is paid from its order to its last task's end.
    """
    chance = random.Random(seed)

    def lives() -> float:
        return chance.expovariate(1 / (given.life * _HOUR)) if given.life else math.inf

    free = [(given.start, number, lives()) for number in range(given.machines)]
    left, lost, repeated = given.pictures, 0, 0
    ends = [0.0] * given.machines
    task = max(1, round(rate * given.task))
    while left:
        at, number, death = heapq.heappop(free)
        taken = min(left, task)
        done = at + taken / rate
        if done <= death:
            left -= taken
            ends[number] = done
            heapq.heappush(free, (done, number, death))
            continue
        # A machine that dies while it starts had taken nothing.
        repeated += taken if death > at else 0
        lost += 1
        heapq.heappush(free, (max(at, death) + given.start, number, max(at, death) + lives()))
    return Outcome(max(ends) / _HOUR, sum(ends) / _HOUR, lost, repeated)


def best_rate(document: Path) -> float:
    """Return the pictures a second of a machine, at the concurrency that suits it best."""
    rates: dict[str, float] = json.loads(document.read_bytes())["pictures_per_second"]
    return max(rates.values())


def assumed(given: Assumptions) -> str:
    """Return the sentence of everything that was not measured."""
    lost = f"after {given.life:g} h on average" if given.life else "never"
    return (
        f"Simulated, {given.pictures:,} pictures. Measured: pictures/s (ft-bench, its best "
        "concurrency). Assumed: every picture costs what the benchmark's does; nothing but the "
        f"engine holds a machine up; it takes its first picture after {given.start:g} s, is lost "
        f"{lost}, is replaced at once, and takes {given.task:g} s of work, a picture "
        "at least, at a time, which is done again when it is lost."
    )


def main() -> None:
    """Print the table, and write it into docs/scale.md."""
    options = _options()
    head = ["measured", "pictures/s", "machines", "hours", "machine-hours", "lost", "twice"]
    table = MarkdownTable([*head, f"at {options.price:g} an hour"] if options.price else head)
    given = Assumptions(start=options.start, life=options.life, task=options.task)
    for document in options.documents:
        rate = best_rate(document)
        for machines in options.machines:
            each = Assumptions(given.pictures, machines, given.start, given.life, given.task)
            found = simulate(rate, each)
            cells = [document.stem, f"{rate:.3g}", f"{machines}", f"{found.hours:,.1f}"]
            cells += [f"{found.machine_hours:,.0f}", f"{found.lost}", f"{found.repeated:,}"]
            cost = [f"{found.machine_hours * options.price:,.2f}"] if options.price else []
            table.add([*cells, *cost])
    print(assumed(given))
    if options.publish:
        table.publish("million", assumed(given), DOCUMENT)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("documents", nargs="+", type=Path, metavar="BENCH.json")
    parser.add_argument("--machines", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--price", type=float, help="of a machine's hour, in any currency")
    for name in ("start", "life", "task"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Assumptions, name))
    parser.add_argument("--no-publish", dest="publish", action="store_false")
    return parser.parse_args()


if __name__ == "__main__":
    main()
