"""How well reports agree with reference captions: CIDEr, BLEU, ROUGE-L, METEOR, one reference each.

Tokens, BLEU and METEOR are nltk's. CIDEr-D and ROUGE-L are computed here: the package that the
authors score with needs Java for its tokens and carries 100 MB of it, and the two scores are short.
Every score is a fraction; papers print a hundred times as much.
"""

from __future__ import annotations

import math
import string
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer
from nltk.translate.bleu_score import corpus_bleu
from nltk.translate.meteor_score import single_meteor_score

Tokens = tuple[str, ...]
Grams = Counter[Tokens]

_ORDERS = (1, 2, 3, 4)
_BLEU_WEIGHTS = [tuple(1 / order for _ in range(order)) for order in _ORDERS]
#: CIDEr-D's standard deviation of the length difference, in words.
_SIGMA = 6.0
#: ROUGE-L's weight of recall over precision in caption evaluation.
_BETA = 1.2

_sentences = PunktSentenceTokenizer()
_words = NLTKWordTokenizer()


@dataclass(frozen=True)
class Pair:
    """A report and its reference, as tokens."""

    report: Tokens
    reference: Tokens


@dataclass(frozen=True)
class TextScores:
    """Scores of a set of reports; 0 to 1, `cider` 0 to 10."""

    cider: float
    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    meteor: float


def tokenize(text: str) -> Tokens:
    """Return Penn Treebank tokens in lower case, without those of punctuation alone."""
    tokens = (
        token.lower()
        for sentence in _sentences.tokenize(text)
        for token in _words.tokenize(sentence)
    )
    return tuple(token for token in tokens if token.strip(string.punctuation))


class DocumentFrequencies:
    """In how many references each n-gram of one to four words occurs."""

    def __init__(self, references: Iterable[Tokens]) -> None:
        self._counts: Grams = Counter()
        self.documents = 0
        for reference in references:
            self.documents += 1
            for order in _ORDERS:
                self._counts.update(set(_grams(reference, order)))

    def weight(self, gram: Tokens) -> float:
        """Return the inverse document frequency log(N / max(1, df)), natural logarithm."""
        return math.log(max(self.documents, 1) / max(self._counts[gram], 1))


def cider_d(pair: Pair, frequencies: DocumentFrequencies) -> float:
    """Return CIDEr-D of one report, 0 to 10.

    Vedantam et al., CVPR 2015: per n the cosine of tf-idf vectors, the report's entries clipped to
    the reference's, times exp(-(length difference)^2 / (2 * 6^2)); mean over n = 1..4, times 10.
    Term frequencies are counts, as in the code that publications score with.
    """
    difference = len(pair.report) - len(pair.reference)
    penalty = math.exp(-(difference**2) / (2 * _SIGMA**2))
    cosines = [_clipped_cosine(pair, order, frequencies) for order in _ORDERS]
    return 10 * penalty * sum(cosines) / len(cosines)


def _clipped_cosine(pair: Pair, order: int, frequencies: DocumentFrequencies) -> float:
    report = _weighted(_grams(pair.report, order), frequencies)
    reference = _weighted(_grams(pair.reference, order), frequencies)
    norms = math.hypot(*report.values()) * math.hypot(*reference.values())
    shared = report.keys() & reference.keys()
    product = sum(min(report[gram], reference[gram]) * reference[gram] for gram in shared)
    return product / norms if norms else 0.0


def _weighted(grams: Grams, frequencies: DocumentFrequencies) -> dict[Tokens, float]:
    return {gram: count * frequencies.weight(gram) for gram, count in grams.items()}


def _grams(tokens: Tokens, order: int) -> Grams:
    return Counter(tokens[start : start + order] for start in range(len(tokens) - order + 1))


def rouge_l(pair: Pair) -> float:
    """Return ROUGE-L, 0 to 1: F of the longest common subsequence with recall weighing 1.2.

    Lin, ACL 2004 workshop; the weight is the one of the MS COCO caption evaluation.
    """
    common = _longest_common_subsequence(pair.report, pair.reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(pair.report), common / len(pair.reference)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _longest_common_subsequence(one: Tokens, other: Tokens) -> int:
    row = [0] * (len(other) + 1)
    for token in one:
        diagonal = 0
        for index, candidate in enumerate(other, start=1):
            above = row[index]
            row[index] = diagonal + 1 if token == candidate else max(above, row[index - 1])
            diagonal = above
    return row[-1]


class _NoSynonyms:
    """Stands where METEOR asks WordNet, which would have to be downloaded."""

    def synsets(self, _: str) -> list[Any]:
        return []


def meteor(pair: Pair) -> float:
    """Return METEOR, 0 to 1, of exact and stem matches; without synonyms it reads lower.

    Banerjee and Lavie, 2005, as nltk computes it (alpha 0.9, beta 3, gamma 0.5). Not comparable
    with METEOR 1.5, the Java program.
    """
    return float(single_meteor_score(pair.reference, pair.report, wordnet=_NoSynonyms()))


def bleu(pairs: Sequence[Pair]) -> tuple[float, float, float, float]:
    """Return BLEU-1 to BLEU-4 over all pairs, 0 to 1, without smoothing.

    Papineni et al., ACL 2002, as nltk computes it: a report shorter than n words counts as one
    n-gram that is not in its reference.
    """
    references = [[pair.reference] for pair in pairs]
    reports = [pair.report for pair in pairs]
    with warnings.catch_warnings():
        # nltk warns where an order has no match at all; that the score is then 0 says the same.
        warnings.simplefilter("ignore", UserWarning)
        one, two, three, four = corpus_bleu(references, reports, weights=_BLEU_WEIGHTS)
    return float(one), float(two), float(three), float(four)


def text_scores(pairs: Sequence[Pair], frequencies: DocumentFrequencies) -> TextScores | None:
    """Score reports against their references; None without pairs.

    Args:
        pairs: the reports to score.
        frequencies: of the whole data set's references, also where `pairs` is a part of it.
    """
    if not pairs:
        return None
    return TextScores(
        sum(cider_d(pair, frequencies) for pair in pairs) / len(pairs),
        *bleu(pairs),
        rouge_l=sum(map(rouge_l, pairs)) / len(pairs),
        meteor=sum(map(meteor, pairs)) / len(pairs),
    )
