"""The simulation behind docs/scale.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale import Assumptions, assumed, simulate


def test_without_losses_it_is_a_division() -> None:
    found = simulate(2.0, Assumptions(7200, machines=1, start=0, life=0))
    assert (found.hours, found.machine_hours, found.lost, found.repeated) == (1, 1, 0, 0)
    found = simulate(2.0, Assumptions(7200, machines=4, start=90, life=0))
    assert found.hours == pytest.approx(0.25 + 90 / 3600)
    assert found.machine_hours == pytest.approx(1 + 4 * 90 / 3600)


def test_the_last_task_keeps_the_others_waiting() -> None:
    found = simulate(1.0, Assumptions(300, machines=2, start=0, life=0, task=100))
    assert found.hours * 3600 == 200
    assert found.machine_hours * 3600 == 300


@given(
    rate=st.floats(0.1, 50),
    machines=st.integers(1, 40),
    life=st.floats(0.5, 100),
    seed=st.integers(0, 2**32),
)
def test_losses_cost_what_they_repeat(rate: float, machines: int, life: float, seed: int) -> None:
    plain = Assumptions(10_000, machines, start=60, life=0, task=4)
    risky = Assumptions(10_000, machines, start=60, life=life, task=4)
    smooth, rough = simulate(rate, plain), simulate(rate, risky, seed)
    assert rough.repeated <= rough.lost * max(1, round(rate * risky.task))
    shortest = 10_000 / rate / machines / 3600
    assert rough.hours >= shortest
    if not rough.lost:
        assert rough == smooth
    assert rough.hours <= rough.machine_hours <= rough.hours * machines * (1 + 1e-9)


def test_every_assumption_is_said() -> None:
    said = assumed(Assumptions(5000, start=77, life=13, task=31))
    for number in ("5,000", "77 s", "13 h", "31 s of work"):
        assert number in said
    assert "never" in assumed(Assumptions(life=0))
