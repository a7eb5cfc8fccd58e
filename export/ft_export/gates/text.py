"""The accuracy gate of a lowered language model: what it would write against float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ft_eval.text_metrics import DocumentFrequencies, Pair, text_scores, tokenize
from ft_export.errors import GateError
from ftsdk.manifest import TextGateEntry

#: Largest mean KL divergence of the next-token distribution, in nats.
MAX_MEAN_KL = 0.05

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """What one model says of one report.

    Attributes:
        logits: [T, vocabulary] float32, after each token of the teacher-forced text.
        text: what it writes freely, greedily.
    """

    logits: Logits
    text: str


def measure(
    reference: Sequence[Written], found: Sequence[Written], waived: bool = False
) -> TextGateEntry:
    """Return how far `found` is from the float32 `reference`, report by report."""
    divergences, agreements = [], []
    for expected, lowered in zip(reference, found, strict=True):
        divergences.append(kl_divergence(expected.logits, lowered.logits))
        agreements.append(expected.logits.argmax(-1) == lowered.logits.argmax(-1))
    kl = np.concatenate(divergences)
    texts = [tokenize(written.text) for written in reference]
    pairs = [Pair(tokenize(written.text), text) for written, text in zip(found, texts, strict=True)]
    # One text has no document frequencies to weigh its words by.
    scores = text_scores(pairs, DocumentFrequencies(texts)) if len(pairs) > 1 else None
    return TextGateEntry(
        reports=len(pairs),
        tokens=len(kl),
        mean_kl=float(kl.mean()),
        p99_kl=float(np.quantile(kl, 0.99)),
        top1_agreement=float(np.concatenate(agreements).mean()),
        cider=scores.cider if scores else None,
        bleu_4=scores.bleu_4 if scores else None,
        rouge_l=scores.rouge_l if scores else None,
        waived=waived,
    )


def kl_divergence(reference: Logits, found: Logits) -> NDArray[np.float64]:
    """Return KL(reference || found) in nats [T]; distributions are logits [T, vocabulary]."""
    expected, other = _log_softmax(reference), _log_softmax(found)
    divergence: NDArray[np.float64] = (np.exp(expected) * (expected - other)).sum(-1)
    return divergence


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def require_close_text(entry: TextGateEntry) -> None:
    """Raise GateError if the mean KL divergence is over its limit and was not waived."""
    if entry.mean_kl <= MAX_MEAN_KL or entry.waived:
        return
    raise GateError(
        "the lowered language model writes too differently from float32; no bundle was written",
        expected=f"a mean KL divergence of at most {MAX_MEAN_KL:g} nats a token",
        found=f"{entry.mean_kl:.3g} over {entry.tokens} tokens of {entry.reports} reports",
        cure="pass --language float16; for random weights, whose text means nothing, "
        "--waive-text-gate",
    )
