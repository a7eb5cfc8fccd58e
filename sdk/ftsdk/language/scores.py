"""What is done to scores between the decoder and the choice of a token; all in place, float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ftsdk.language.options import Language

Scores = NDArray[np.float32]
Ids = NDArray[np.int64]


def penalise(scores: Scores, history: Ids, options: Language, end_token: int) -> None:
    """Apply repetition penalty, then minimum length, to `scores` [beams, vocabulary].

    `history` [beams, t] begins with the start token, which counts for both, as in
    Transformers 4.33.2 (`RepetitionPenaltyLogitsProcessor`, `MinLengthLogitsProcessor`).
    """
    if options.repetition_penalty != 1.0:
        seen = np.take_along_axis(scores, history, axis=1)
        penalty = np.float32(options.repetition_penalty)
        penalised = np.where(seen < 0, seen * penalty, seen / penalty)
        np.put_along_axis(scores, history, penalised, axis=1)
    if history.shape[1] < options.min_length:
        scores[:, end_token] = -np.inf


def log_softmax(logits: Scores, scratch: Scores) -> None:
    """Turn `logits` [beams, vocabulary] into log-probabilities; `scratch` is of the same shape."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=scratch)
    logits -= np.log(scratch.sum(axis=1, keepdims=True))


def sample(logits: Scores, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """Draw a token from `logits` [vocabulary] at `temperature`, among the nucleus of `top_p`.

    The nucleus is the smallest set of most likely tokens whose probability reaches `top_p`
    (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020).
    """
    scaled = logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    cumulated = np.cumsum(probabilities[order])
    kept = order[: int(np.searchsorted(cumulated, min(top_p, cumulated[-1]))) + 1]
    return int(random.choice(kept, p=probabilities[kept] / probabilities[kept].sum()))
