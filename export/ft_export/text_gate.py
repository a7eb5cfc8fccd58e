"""The accuracy gate of a reduced language model: what it would write against float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ft_calibration.text_metrics import DocumentFrequencies, Pair, text_scores, tokenize
from ftsdk.bundle import TextGateEntry
from ftsdk.errors import GateError, WeightsFileError

#: Largest mean KL divergence of the next-token distribution, in nats.
MAX_MEAN_KL = 0.05
#: Enough for a stable mean; each takes two decodings a model.
MOST_REPORTS = 32

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Report:
    """A text to be teacher-forced, and what the language model is given for it.

    Attributes:
        qformer_output: [1, Q, W] float32.
        regions: the names in the prompt.
        text: the report.
    """

    qformer_output: NDArray[np.float32]
    regions: list[str]
    text: str


@dataclass(frozen=True)
class Written:
    """What one model says of one report.

    Attributes:
        logits: [T, vocabulary] float32, after each token of the teacher-forced text.
        text: what it writes freely, greedily.
    """

    logits: Logits
    text: str


def read_reports(path: Path) -> list[Report]:
    """Read the reports that a language model is held against.

    `path` is an `.npz` of `qformer_output` [N, Q, W] float, `regions` [N] str (names joined by
    ", ") and `text` [N] str.

    Raises:
        WeightsFileError: it is not that.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            outputs = arrays["qformer_output"].astype(np.float32)
            regions, texts = arrays["regions"].tolist(), arrays["text"].tolist()
        return [
            Report(output[None], names.split(", ") if names else [], text)
            for output, names, text in zip(outputs, regions, texts, strict=True)
        ][:MOST_REPORTS]
    except (OSError, KeyError, ValueError, AttributeError, EOFError, BadZipFile) as error:
        raise WeightsFileError(
            f"{path} holds no reports",
            expected="an .npz of qformer_output [N, Q, W], regions [N] and text [N]",
            found=f"{type(error).__name__}: {str(error)[:300]}",
            cure="write it again with `ft-eval --reports FILE` or the training's export",
        ) from error


def write_reports(path: Path, reports: Sequence[Report]) -> None:
    """Write what `read_reports` reads; `qformer_output` in float16."""
    outputs = np.concatenate([report.qformer_output for report in reports]).astype(np.float16)
    regions = np.array([", ".join(report.regions) for report in reports])
    texts = np.array([report.text for report in reports])
    np.savez_compressed(path, qformer_output=outputs, regions=regions, text=texts)


def measure(
    reference: Sequence[Written], found: Sequence[Written], waived: bool = False
) -> TextGateEntry:
    """Return how far `found` is from the float32 `reference`, report by report."""
    divergences, agreements = [], []
    for expected, reduced in zip(reference, found, strict=True):
        divergences.append(kl_divergence(expected.logits, reduced.logits))
        agreements.append(expected.logits.argmax(-1) == reduced.logits.argmax(-1))
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
        "the reduced language model writes too differently from float32; no bundle was written",
        expected=f"a mean KL divergence of at most {MAX_MEAN_KL:g} nats a token",
        found=f"{entry.mean_kl:.3g} over {entry.tokens} tokens of {entry.reports} reports",
        cure="pass --language fp16; for random weights, whose text means nothing, "
        "--waive-text-gate",
    )
