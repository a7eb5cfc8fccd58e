"""Beam search against its definition, and each rule of the definition by what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from decoding_definition import CHANGES, Definition, NeverStopEarly, TieError
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tables import END, START, ScriptedDecoder, TableDecoder

from ftsdk import Language
from ftsdk.language.beam import FinishedBeams
from ftsdk.language.generate import generate


def beam_search(decoder: TableDecoder, options: Language) -> list[int]:
    """Return the text that the search writes."""
    return list(generate(decoder, options))


#: Scores that are closer than this could be told apart by rounding alone.
TIE = 1e-4

options = st.builds(
    Language,
    beams=st.integers(2, 5),
    max_new_tokens=st.integers(1, 12),
    min_length=st.integers(0, 8),
    repetition_penalty=st.sampled_from([0.7, 1.0, 1.5, 3.0]),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
)
seeds = st.integers(0, 2**32 - 1)
vocabularies = st.integers(11, 24)
#: How much likelier the end token is; lets texts end early, late, or never.
end_biases = st.sampled_from([-20.0, -1.0, 0.0, 2.0, 4.0])


@settings(max_examples=300)
@given(seeds, vocabularies, end_biases, options)
def test_beam_search_is_its_definition(
    seed: int, vocabulary: int, end_bias: float, options: Language
) -> None:
    try:
        expected = Definition(TableDecoder(seed, vocabulary, end_bias), options, TIE).decode()
    except TieError:
        reject()
    assert beam_search(TableDecoder(seed, vocabulary, end_bias), options) == expected


@dataclass(frozen=True)
class Example:
    """A search that can be begun again and again."""

    decoder: Callable[[], TableDecoder]
    options: Language

    def by(self, definition: type[Definition]) -> list[int]:
        return definition(self.decoder(), self.options, TIE).decode()


#: Two likely first tokens, and a third that is all that follows where the script says no more.
A, B, X = 2, 3, 4
PLAIN = Language(beams=2, max_new_tokens=12, min_length=0, repetition_penalty=1.0)


def ending(probability: float) -> Example:
    """Both beams end at the second step with `probability`; else they go on with X for ever."""
    second = {END: probability, X: 1 - probability}
    script = {(): {A: 0.52, B: 0.48}, (A,): second, (B,): second}
    return Example(lambda: ScriptedDecoder(script, X), PLAIN)


def ending_at_once() -> Example:
    """The end token is the third likeliest of two beams' first tokens; what follows is unlikely."""
    spread = {token: 0.1 + token / 100 for token in range(8)}
    script = {(): {A: 0.4, B: 0.35, END: 0.2, X: 0.05}, (A,): spread, (B,): spread}
    few = Language(beams=2, max_new_tokens=2, min_length=0, repetition_penalty=1, length_penalty=0)
    return Example(lambda: ScriptedDecoder(script, X), few)


def drawn(seed: int) -> Example:
    """A table's search with options of its own."""
    options = Language(
        beams=2 + seed % 4,
        max_new_tokens=3 + seed % 7,
        min_length=seed % 5,
        repetition_penalty=(1.5, 3.0, 0.7)[seed % 3],
        length_penalty=(1.0, 2.0, 0.5)[seed // 3 % 3],
    )
    return Example(lambda: TableDecoder(seed, 16, end_bias=seed // 9 % 4), options)


@cache
def examples() -> list[tuple[Example, list[int]]]:
    """Examples and their texts, none of which rounding could decide."""
    every = [ending(0.7), ending(0.9), ending_at_once(), *map(drawn, range(60))]
    return [*_without_ties(every)]


def _without_ties(every: list[Example]) -> Iterator[tuple[Example, list[int]]]:
    for example in every:
        with suppress(TieError):
            yield example, example.by(Definition)


@pytest.mark.parametrize("changed", CHANGES, ids=lambda changed: changed.__name__)
def test_each_rule_decides_texts(changed: type[Definition]) -> None:
    """Where the changed rule writes another text, beam search writes the right one."""
    decided = 0
    for example, text in examples():
        with suppress(TieError):
            if example.by(changed) != text:
                decided += 1
                assert beam_search(example.decoder(), example.options) == text
    assert decided


def test_a_beam_that_can_still_win_at_the_next_length_goes_on() -> None:
    """By hand: two texts are kept, the worse with ln(.48 * .7) / 2 = -.55.

    The best beam has ln(.52 * .3) = -1.86: at length 3 it could not enter (-.62), at 4 it can
    (-.46), and with twelve X more it wins with -1.86 / 13 = -.14.
    """
    example = ending(0.7)
    assert beam_search(example.decoder(), example.options) == [A, *[X] * 11]


def test_the_search_stops_though_a_longer_text_would_win() -> None:
    """By hand: ln(.48 * .9) / 2 = -.42 is kept, ln(.52 * .1) / 4 = -.74 cannot enter.

    After twelve tokens it would have -2.96 / 13 = -.23.
    """
    example = ending(0.9)
    decoder = example.decoder()
    assert beam_search(decoder, example.options) == [A, END]
    assert decoder.steps == 3
    assert example.by(NeverStopEarly) == [A, *[X] * 11]


def test_an_end_token_beyond_the_beams_is_dropped() -> None:
    """By hand: the empty text's ln .2 would beat ln .4 + ln .16, but it ranks third of two."""
    example = ending_at_once()
    definition = Definition(example.decoder(), example.options, TIE)
    assert definition.decode() == [A, 7]
    assert definition.end_seen_beyond_beams
    assert beam_search(example.decoder(), example.options) == [A, 7]


@given(seeds, st.integers(2, 5), st.integers(1, 10), st.integers(0, 12))
def test_no_text_ends_before_its_minimum_length(
    seed: int, beams: int, limit: int, minimum: int
) -> None:
    options = Language(beams=beams, max_new_tokens=limit, min_length=minimum)
    ids = beam_search(TableDecoder(seed, 16, end_bias=6.0), options)
    assert len(ids) <= limit
    if END in ids:
        assert ids.index(END) == len(ids) - 1
        assert len(ids) >= minimum
    else:
        assert len(ids) == limit


@given(seeds, st.integers(2, 4))
def test_the_repetition_penalty_hits_the_start_token(seed: int, beams: int) -> None:
    """The start token stands in every history, so a strong penalty keeps it out of every text."""
    options = Language(beams=beams, max_new_tokens=6, repetition_penalty=1e6)
    assert START not in beam_search(TableDecoder(seed, 12, -20.0), options)


def test_the_best_texts_are_kept() -> None:
    finished = FinishedBeams(2, 1.0)
    finished.add(np.array([0, 5]), -4.0)
    finished.add(np.array([0, 6, 7]), -3.0)
    finished.add(np.array([0, 6, 8, 9]), -3.0)
    assert finished.best().tolist() == [0, 6, 8, 9]
    assert len(finished.kept) == 2
    assert finished.worst == -1.0


def test_of_equal_texts_the_last_kept_is_the_best() -> None:
    """`BeamSearchScorer.finalize` sorts and takes the last."""
    finished = FinishedBeams(2, 1.0)
    finished.add(np.array([0, 5]), -2.0)
    finished.add(np.array([0, 6]), -2.0)
    assert finished.best().tolist() == [0, 6]


def test_nobody_enters_before_as_many_are_kept_as_may_be() -> None:
    finished = FinishedBeams(1, 1.0)
    assert not finished.beats(-0.1, 1)
    finished.add(np.array([0, 5]), -2.0)
    assert finished.beats(-5.0, 5)
    assert not finished.beats(-4.9, 5)


@given(seeds, st.integers(2, 5))
def test_beam_search_stops_stepping_when_nobody_can_win(seed: int, beams: int) -> None:
    options = Language(beams=beams, max_new_tokens=64, min_length=0)
    decoder = TableDecoder(seed, 16, end_bias=12.0)
    beam_search(decoder, options)
    assert decoder.steps < 64
