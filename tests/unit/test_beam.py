"""Beam search against a slow, literal reading of its definition (Transformers 4.33.2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tables import END, START, TableDecoder

from ftsdk import Language
from ftsdk.language.beam import FinishedBeams, beam_search

#: Scores that are closer than this could be told apart by rounding alone.
TIE = 1e-4


class TieError(Exception):
    """Two scores that decide something are too close to compare in float32."""


@dataclass
class Reading:
    """One picture's beam search, one rule a line, with Python lists and floats."""

    logits: Callable[[list[int]], list[float]]
    options: Language
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    end_seen_beyond_beams: bool = False

    def run(self) -> list[int]:
        beams = [(0.0, [START])]
        done = False
        while not done and len(beams[0][1]) < self.options.max_new_tokens + 1:
            candidates = self.candidates(beams)
            running: list[tuple[float, list[int]]] = []
            for rank, (score, history, token) in enumerate(candidates):
                if token != END:
                    running.append((score, [*history, token]))
                elif rank < self.options.beams:
                    self.finish(score, history)
                else:
                    self.end_seen_beyond_beams = True
            done = self.nobody_can_enter(candidates[0][0], len(beams[0][1]))
            beams = running[: self.options.beams]
        if not done:
            for score, history in beams:
                self.finish(score, history)
        return self.best()

    def candidates(
        self, beams: list[tuple[float, list[int]]]
    ) -> list[tuple[float, list[int], int]]:
        """The 2 x beams best continuations of all beams, the best first."""
        every = [
            (score + penalised, history, token)
            for score, history in beams
            for token, penalised in enumerate(self.penalised(history))
        ]
        every.sort(key=lambda entry: -entry[0])
        count = 2 * self.options.beams
        require_distinct([entry[0] for entry in every[: count + 1]])
        return every[:count]

    def penalised(self, history: list[int]) -> list[float]:
        """Log-probabilities, then repetition penalty, then minimum length; not renormalised."""
        logits = np.array(self.logits(history), np.float64)
        scores = list(logits - np.log(np.exp(logits).sum()))
        for token in set(history):
            penalty = self.options.repetition_penalty
            scores[token] = (
                scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
            )
        if len(history) < self.options.min_length:
            scores[END] = -np.inf
        return scores

    def finish(self, score: float, history: list[int]) -> None:
        """A finished text is divided by its length with the start and without the end token."""
        self.finished.append((score / len(history) ** self.options.length_penalty, history))
        self.finished.sort(key=lambda entry: -entry[0])
        require_distinct([entry[0] for entry in self.finished])
        del self.finished[self.options.beams :]

    def nobody_can_enter(self, best_running: float, length: int) -> bool:
        if len(self.finished) < self.options.beams:
            return False
        attainable = best_running / length**self.options.length_penalty
        require_distinct([self.finished[-1][0], attainable])
        return self.finished[-1][0] >= attainable

    def best(self) -> list[int]:
        best = self.finished[0][1]
        return best[1:] + ([END] if len(best) < self.options.max_new_tokens + 1 else [])


def require_distinct(scores: list[float]) -> None:
    finite = sorted(score for score in scores if score > -np.inf)
    if any(b - a < TIE for a, b in pairwise(finite)):
        raise TieError


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


def read(
    seed: int, vocabulary: int, end_bias: float, options: Language
) -> tuple[Reading, list[int]]:
    """Search by the definition; TieError where rounding could decide."""
    table = TableDecoder(seed, vocabulary, end_bias)
    reading = Reading(lambda history: table.logits(history).tolist(), options)
    return reading, reading.run()


@settings(max_examples=300)
@given(seeds, vocabularies, end_biases, options)
def test_beam_search_is_its_definition(
    seed: int, vocabulary: int, end_bias: float, options: Language
) -> None:
    try:
        _, expected = read(seed, vocabulary, end_bias, options)
    except TieError:
        reject()
    assert beam_search(TableDecoder(seed, vocabulary, end_bias), options) == expected


def test_an_end_token_beyond_the_beams_is_dropped() -> None:
    options = Language(beams=2, max_new_tokens=4, min_length=0, repetition_penalty=1.0)
    seen = 0
    for seed in range(40):
        with suppress(TieError):
            reading, expected = read(seed, 11, 1.0, options)
            assert beam_search(TableDecoder(seed, 11, 1.0), options) == expected
            seen += reading.end_seen_beyond_beams
    assert seen > 5


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


def test_unfinished_beams_compete_at_the_end() -> None:
    finished = FinishedBeams(2, 1.0)
    finished.add(np.array([0, 5]), -4.0)
    finished.add(np.array([0, 6, 7]), -3.0)
    finished.add(np.array([0, 6, 8, 9]), -3.0)
    assert finished.best().tolist() == [0, 6, 8, 9]
    assert len(finished.kept) == 2
    assert finished.worst == -1.0


def test_early_stop_compares_at_the_current_length() -> None:
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
