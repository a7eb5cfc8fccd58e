"""Transformers 4.33.2's decoding, read literally: one rule a method, so that a test can change one.

It shares no line with `ftsdk.language`: Python lists and floats, every candidate sorted.
"""
# ruff: noqa: ARG002 - a changed rule looks at less than the right one

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ftsdk import Language


class Decoder(Protocol):
    """What is decoded: logits [beams, vocabulary] after one more token a beam."""

    start_token: int
    end_token: int

    def step(
        self, tokens: NDArray[np.int64], parents: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]: ...


class TieError(Exception):
    """Two scores that decide something are closer than the rounding of float32."""


@dataclass(frozen=True)
class Beam:
    """A text that may go on: its score, its tokens and the row that it came from."""

    score: float
    history: list[int]
    row: int = 0


@dataclass
class Definition:
    """One text's decoding; `tie` is the distance of two scores below which a tie is raised."""

    decoder: Decoder
    options: Language
    tie: float = 0.0
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    #: Whether an end token was ranked among the candidates, but beyond the beams.
    end_seen_beyond_beams: bool = False

    def decode(self) -> list[int]:
        """Return the ids without the start token, the end token last if reached."""
        return self.beam_search() if self.options.beams > 1 else self.greedy()

    @property
    def limit(self) -> int:
        """The most tokens that a text has, the start token counted."""
        return self.options.max_new_tokens + 1

    def greedy(self) -> list[int]:
        history = [self.decoder.start_token]
        while len(history) < self.limit and (history[-1] != self.end or len(history) == 1):
            logits = self.decoder.step(np.array(history[-1:]))[0].astype(np.float64)
            history.append(int(np.argmax(self.penalised(logits, history))))
        return history[1:]

    def beam_search(self) -> list[int]:
        beams = [Beam(0.0, [self.decoder.start_token])]
        done = False
        while not done and len(beams[0].history) < self.limit:
            candidates = self.candidates(beams)
            for rank, (score, row, token) in enumerate(candidates):
                if token == self.end and self.counts_as_finished(rank):
                    self.finish(score, beams[row].history, ended=True)
            done = self.is_done(
                [score for score, _, _ in candidates],
                [score for score, _, token in candidates if token != self.end],
                len(beams[0].history),
            )
            going_on = [c for c in candidates if c[2] != self.end][: self.options.beams]
            beams = [Beam(s, [*beams[row].history, token], row) for s, row, token in going_on]
        if not done:
            self.end_of_time(beams)
        return self.best()

    def candidates(self, beams: list[Beam]) -> list[tuple[float, int, int]]:
        """The 2 x beams best continuations (score, row, token) of all beams, the best first."""
        count = self.options.beams
        padded = [*beams, *beams[:1] * (count - len(beams))]
        tokens = np.array([beam.history[-1] for beam in padded])
        logits = self.decoder.step(tokens, np.array([beam.row for beam in padded]))
        every = [
            (beam.score + score, row, token)
            for row, beam in enumerate(beams)
            for token, score in enumerate(self.scores(logits[row], beam.history))
        ]
        every.sort(key=lambda entry: -entry[0])
        self.require_distinct([entry[0] for entry in every[: 2 * count + 1]])
        return every[: 2 * count]

    def scores(self, logits: NDArray[np.float32], history: list[int]) -> list[float]:
        """Beam search penalises log-probabilities and does not renormalise them."""
        return self.penalised(log_softmax(logits), history).tolist()

    def penalised(self, scores: NDArray[np.float64], history: list[int]) -> NDArray[np.float64]:
        """Repetition penalty, then minimum length."""
        scores, penalty = scores.copy(), self.options.repetition_penalty
        for token in self.repeated(history):
            scores[token] = (
                scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
            )
        if self.counted(history) < self.options.min_length:
            scores[self.end] = -np.inf
        return scores

    def repeated(self, history: list[int]) -> set[int]:
        """The tokens that are penalised: the start token is one of them."""
        return set(history)

    def counted(self, history: list[int]) -> int:
        """The length that the minimum is compared with: the start token counts."""
        return len(history)

    def counts_as_finished(self, rank: int) -> bool:
        """An end token is kept only if it ranks among the beams."""
        if rank >= self.options.beams:
            self.end_seen_beyond_beams = True
        return rank < self.options.beams

    def finish(self, score: float, history: list[int], ended: bool) -> None:
        """Keep a text if it is among the best."""
        divisor = self.divisor(history, ended) ** self.options.length_penalty
        self.finished.append((score / divisor, history))
        self.finished.sort(key=lambda entry: -entry[0])
        self.require_distinct([entry[0] for entry in self.finished])
        del self.finished[self.options.beams :]

    def divisor(self, history: list[int], ended: bool) -> int:
        """A text's length: the start token counts, the end token (`ended`) does not."""
        return len(history)

    def is_done(self, candidates: list[float], unfinished: list[float], length: int) -> bool:
        """Whether no beam can enter: by the best of all candidates, at the length after this step.

        `length` is that before this step, the start token counted.
        """
        return self.nobody_can_enter(candidates[0], length + 1)

    def nobody_can_enter(self, best: float, length: int) -> bool:
        if len(self.finished) < self.options.beams:
            return False
        attainable = best / length**self.options.length_penalty
        self.require_distinct([self.finished[-1][0], attainable])
        return self.finished[-1][0] >= attainable

    def end_of_time(self, beams: list[Beam]) -> None:
        """At the limit the unfinished beams compete with the finished texts."""
        for beam in beams:
            self.finish(beam.score, beam.history, ended=False)

    def best(self) -> list[int]:
        best = self.finished[0][1]
        return best[1:] + ([self.end] if len(best) < self.limit else [])

    @property
    def end(self) -> int:
        """The end token."""
        return self.decoder.end_token

    def require_distinct(self, scores: Sequence[float]) -> None:
        finite = sorted(score for score in scores if score > -np.inf)
        if any(b - a < self.tie for a, b in pairwise(finite)):
            raise TieError


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


class StopAtTheCurrentLength(Definition):
    def is_done(self, candidates: list[float], unfinished: list[float], length: int) -> bool:
        return self.nobody_can_enter(candidates[0], length)


class StopByTheBestUnfinished(Definition):
    def is_done(self, candidates: list[float], unfinished: list[float], length: int) -> bool:
        return self.nobody_can_enter(unfinished[0], length + 1)


class StopAtTheFirstFinished(Definition):
    def is_done(self, candidates: list[float], unfinished: list[float], length: int) -> bool:
        return len(self.finished) == self.options.beams


class NeverStopEarly(Definition):
    def is_done(self, candidates: list[float], unfinished: list[float], length: int) -> bool:
        return False


class LengthWithoutTheStart(Definition):
    def divisor(self, history: list[int], ended: bool) -> int:
        return max(len(history) - 1, 1)


class LengthWithTheEnd(Definition):
    def divisor(self, history: list[int], ended: bool) -> int:
        return len(history) + ended


class UnfinishedDoNotCompete(Definition):
    def end_of_time(self, beams: list[Beam]) -> None:
        if not self.finished:
            super().end_of_time(beams)


class PenaltySparesTheStart(Definition):
    def repeated(self, history: list[int]) -> set[int]:
        return set(history[1:])


class NoRepetitionPenalty(Definition):
    def repeated(self, history: list[int]) -> set[int]:
        return set()


class MinimumWithoutTheStart(Definition):
    def counted(self, history: list[int]) -> int:
        return len(history) - 1


class Renormalised(Definition):
    def scores(self, logits: NDArray[np.float32], history: list[int]) -> list[float]:
        return log_softmax(self.penalised(log_softmax(logits), history)).tolist()


class PenalisedLogits(Definition):
    def scores(self, logits: NDArray[np.float32], history: list[int]) -> list[float]:
        return log_softmax(self.penalised(logits.astype(np.float64), history)).tolist()


class EndBeyondTheBeamsCounts(Definition):
    def counts_as_finished(self, rank: int) -> bool:
        return True


#: A rule changed -> how many of the seeded fixture's 20 texts that changes in Transformers 4.33.2.
CHANGES: dict[type[Definition], int] = {
    StopAtTheCurrentLength: 4,
    StopByTheBestUnfinished: 1,
    StopAtTheFirstFinished: 4,
    LengthWithoutTheStart: 3,
    LengthWithTheEnd: 5,
    UnfinishedDoNotCompete: 1,
    PenaltySparesTheStart: 3,
    NoRepetitionPenalty: 20,
    MinimumWithoutTheStart: 2,
    Renormalised: 10,
    PenalisedLogits: 10,
    EndBeyondTheBeamsCounts: 0,
    NeverStopEarly: 0,
}
