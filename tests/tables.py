"""A decoder whose logits are a pure function of the text so far: decoding without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

START, END = 0, 1


def scores_after(seed: int, history: Sequence[int], vocabulary: int) -> NDArray[np.float32]:
    """Return logits [vocabulary] that depend on every token of `history` and on nothing else."""
    random = np.random.default_rng([seed, *history])
    return random.normal(0, 2, vocabulary).astype(np.float32)


class TableDecoder:
    """The stepping contract of `StepDecoder` over `scores_after`."""

    start_token, end_token, faces = START, END, 1

    def __init__(self, seed: int, vocabulary: int, end_bias: float = 0.0) -> None:
        self.seed, self.vocabulary, self.end_bias = seed, vocabulary, end_bias
        self.histories: list[list[int]] = []
        self.steps = 0

    def step(
        self, tokens: NDArray[np.int64], parents: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        old = self.histories or [[] for _ in tokens]
        order = range(len(tokens)) if parents is None else parents.tolist()
        pairs = zip(order, tokens.tolist(), strict=True)
        self.histories = [[*old[parent], token] for parent, token in pairs]
        self.steps += 1
        return np.stack([self.logits(history) for history in self.histories])

    def logits(self, history: Sequence[int]) -> NDArray[np.float32]:
        logits = scores_after(self.seed, history, self.vocabulary)
        logits[END] += np.float32(self.end_bias)
        return logits


class ScriptedDecoder(TableDecoder):
    """A decoder that goes on as its script says: tokens so far -> next token -> probability.

    A text that the script does not name goes on with `rest`.
    """

    def __init__(self, script: Mapping[tuple[int, ...], Mapping[int, float]], rest: int) -> None:
        super().__init__(seed=0, vocabulary=8)
        self.script, self.rest = script, rest

    def logits(self, history: Sequence[int]) -> NDArray[np.float32]:
        probabilities = np.linspace(1e-9, 2e-9, self.vocabulary)
        for token, probability in self.script.get(tuple(history[1:]), {self.rest: 1.0}).items():
            probabilities[token] = probability
        return np.log(probabilities).astype(np.float32)


class SeveralTables:
    """Tables side by side, each over a face of its own, as `StepDecoder` steps faces."""

    start_token, end_token = START, END

    def __init__(self, tables: Sequence[TableDecoder]) -> None:
        self.tables, self.faces = tables, len(tables)
        self.steps = 0

    def step(
        self, tokens: NDArray[np.int64], parents: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        self.steps += 1
        beams = len(tokens) // self.faces
        logits = []
        for face, table in enumerate(self.tables):
            rows = slice(face * beams, (face + 1) * beams)
            own = None if parents is None else parents[rows] - face * beams
            assert own is None or ((own >= 0) & (own < beams)).all(), "a beam of another face"
            logits.append(table.step(tokens[rows], own))
        return np.concatenate(logits)
