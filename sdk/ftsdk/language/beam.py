"""Beam search with the semantics of Transformers 4.33.2, which the authors pin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ftsdk.language.options import Language
from ftsdk.language.scores import Ids, Scores, log_softmax, penalise

_NEVER = np.float32(-1e9)


@dataclass
class FinishedBeams:
    """The best finished texts so far, at most `size` of them."""

    size: int
    length_penalty: float
    kept: list[tuple[float, Ids]] = field(default_factory=list)

    def add(self, ids: Ids, log_probability: float) -> None:
        """Keep `ids` if it is among the best; its length counts the start, not the end token."""
        score = log_probability / len(ids) ** self.length_penalty
        if len(self.kept) < self.size or score > self.worst:
            self.kept.append((score, ids))
        if len(self.kept) > self.size:
            self.kept.pop(min(range(len(self.kept)), key=lambda i: self.kept[i][0]))

    @property
    def worst(self) -> float:
        """Lowest kept score."""
        return min(score for score, _ in self.kept)

    def beats(self, log_probability: float, length: int) -> bool:
        """Tell whether as many as may be are kept, and none is worse than a text of `length`."""
        attainable = log_probability / length**self.length_penalty
        return len(self.kept) == self.size and self.worst >= attainable

    def best(self) -> Ids:
        """Return the text of the highest score, the last kept of several."""
        return max(reversed(self.kept), key=lambda kept: kept[0])[1]


class BeamSearch:
    """Knows the best text's ids when it ends, all at once; see `Search`."""

    def __init__(self, options: Language, start_token: int, end_token: int) -> None:
        self._options, self._end_token = options, end_token
        self._limit = options.max_new_tokens + 1
        self._history = np.full((options.beams, 1), start_token, np.int64)
        self._running = np.full(options.beams, _NEVER, np.float32)
        self._running[0] = 0
        self._finished = FinishedBeams(options.beams, options.length_penalty)
        self._scratch = np.empty(0, np.float32)
        self.tokens, self.parents = self._history[:, -1], np.arange(options.beams)
        self.ended = False

    def advance(self, scores: Scores) -> list[int]:
        """Go on by logits [beams, vocabulary]; they are overwritten."""
        if self._scratch.shape != scores.shape:
            self._scratch = np.empty_like(scores)
        log_softmax(scores, self._scratch)
        penalise(scores, self._history, self._options, self._end_token)
        scores += self._running[:, None]
        done, self.parents, self.tokens, self._running = _advance(
            scores, self._history, self._finished, self._end_token
        )
        grown = self._history[self.parents], self.tokens[:, None]
        self._history = np.concatenate(grown, axis=1)
        self.ended = done or self._history.shape[1] == self._limit
        return self._best(done) if self.ended else []

    def _best(self, done: bool) -> list[int]:
        if not done:
            for ids, score in zip(self._history, self._running, strict=True):
                self._finished.add(ids, float(score))
        best = self._finished.best()
        end = [self._end_token] if len(best) < self._limit else []
        return [*best[1:].tolist(), *end]


def _advance(
    scores: Scores, history: Ids, finished: FinishedBeams, end_token: int
) -> tuple[bool, Ids, Ids, Scores]:
    """Sort the 2 x beams best continuations into finished and running ones."""
    beams = len(scores)
    parents, tokens, values = _largest(scores, min(2 * beams, scores.size))
    ends = tokens == end_token
    # An end token that ranks beyond the number of beams is dropped, not kept as finished.
    for rank in np.flatnonzero(ends[:beams]):
        finished.add(history[parents[rank]], float(values[rank]))
    running = np.flatnonzero(~ends)[:beams]
    # `BeamSearchScorer.process` asks for the best of all candidates, end tokens included, and
    # counts the token that was just chosen.
    done = finished.beats(float(values[0]), history.shape[1] + 1)
    return done, parents[running], tokens[running], values[running]


def _largest(scores: Scores, count: int) -> tuple[Ids, Ids, Scores]:
    """Return row, column and value of the `count` largest `scores`, largest first, lowest if equal.

    Takes them out of `scores`, so that nothing as large as they are is allocated.
    """
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    values = np.empty(count, np.float32)
    best = scores.argmax(axis=1)
    peaks = np.take_along_axis(scores, best[:, None], axis=1)[:, 0]
    for rank in range(count):
        row = int(peaks.argmax())
        rows[rank], columns[rank], values[rank] = row, best[row], peaks[row]
        scores[row, best[row]] = -np.inf
        best[row] = scores[row].argmax()
        peaks[row] = scores[row, best[row]]
    return rows, columns, values
