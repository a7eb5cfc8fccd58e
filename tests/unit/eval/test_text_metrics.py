"""Caption scores against values computed by hand and against the published scorer's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_eval.text_metrics import (
    DocumentFrequencies,
    Pair,
    Tokens,
    bleu,
    cider_d,
    meteor,
    rouge_l,
    text_scores,
    tokenize,
)

VOCABULARY = ("the", "nose", "eye", "looks", "blurred", "sharp", "a")
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=12)
PAIRS = st.lists(st.builds(Pair, WORDS.map(tuple), WORDS.map(tuple)), min_size=1, max_size=6)

REFERENCES = (
    "The man's nose looks blurred, and its edge is too sharp.",
    "The lips are smeared. Colour of the mouth differs from the skin around it.",
    "Both eyes look unnatural: the pupils have different shapes.",
)
REPORTS = (
    "The nose looks blurred and the edge is sharp.",
    "The mouth is smeared, its colour differs from the skin.",
    "The eyes eyes eyes look unnatural.",
)


def _tokens(text: str) -> Tokens:
    return tuple(text.split())


def test_tokens_are_lower_case_penn_treebank_without_punctuation() -> None:
    text = "The nose isn't real: it's blurred (left-hand side). The lips, at 3.5 px, are 'odd'..."
    assert tokenize(text) == _tokens(
        "the nose is n't real it 's blurred left-hand side the lips at 3.5 px are odd"
    )
    assert tokenize(" ... ") == ()


def test_rouge_l_by_hand() -> None:
    # The longest common subsequence is "a c d": precision 3/4, recall 3/5.
    pair = Pair(_tokens("a c x d"), _tokens("a b c d e"))
    expected = (1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)
    assert rouge_l(pair) == pytest.approx(expected)


def test_cider_d_by_hand() -> None:
    # Three references. Weights: "a" occurs in all, 0; "b" and "a b" in two, log 1.5.
    frequencies = DocumentFrequencies([_tokens("a b"), _tokens("a b"), _tokens("a")])
    same = cider_d(Pair(_tokens("a b"), _tokens("a b")), frequencies)
    # Cosine 1 for n = 1 and 2, 0 for n = 3 and 4, which have no n-gram.
    assert same == pytest.approx(10 * (1 + 1) / 4)
    # "b b": n = 1 is clipped to one b, w * w / (2w * w) = 1/2; "b b" is not in the reference.
    doubled = cider_d(Pair(_tokens("b b"), _tokens("a b")), frequencies)
    assert doubled == pytest.approx(10 * 0.5 / 4)
    # "b" alone is one word short of "a b".
    short = cider_d(Pair(_tokens("b"), _tokens("a b")), frequencies)
    assert short == pytest.approx(10 * math.exp(-1 / 72) * 1 / 4)


def test_bleu_by_hand() -> None:
    pair = Pair(_tokens("the nose looks sharp"), _tokens("the nose looks blurred here"))
    brevity = math.exp(1 - 5 / 4)
    one, two, three, four = bleu([pair])
    assert one == pytest.approx(brevity * 3 / 4)
    assert two == pytest.approx(brevity * math.sqrt(3 / 4 * 2 / 3))
    assert three == pytest.approx(brevity * (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3))
    assert four == pytest.approx(0)


def test_meteor_by_hand() -> None:
    # "nose" and "look" match, the second by its stem, in one chunk: P 2/2, R 2/3, F with
    # alpha 0.9, and a penalty of 0.5 * (1 chunk / 2 matches)^3.
    pair = Pair(_tokens("nose looks"), _tokens("nose look blurred"))
    f_mean = 1 * (2 / 3) / (0.9 * 1 + 0.1 * (2 / 3))
    assert meteor(pair) == pytest.approx(f_mean * (1 - 0.5 * (1 / 2) ** 3))


def test_scores_equal_those_of_the_coco_caption_code() -> None:
    # pycocoevalcap 1.2 (Bleu, Rouge, Cider) on the same tokens.
    pairs = [
        Pair(tokenize(report), tokenize(reference))
        for report, reference in zip(REPORTS, REFERENCES, strict=True)
    ]
    scores = text_scores(pairs, DocumentFrequencies(pair.reference for pair in pairs))
    assert scores is not None
    assert scores.cider == pytest.approx(2.632635057093717)
    assert (scores.bleu_1, scores.bleu_2, scores.bleu_3, scores.bleu_4) == pytest.approx(
        (0.536256036785611, 0.40421819672182824, 0.30660326622355555, 0.22168210559638116)
    )
    assert scores.rouge_l == pytest.approx(0.5650530380474235)


def test_nothing_to_score() -> None:
    assert text_scores([], DocumentFrequencies([])) is None


@given(PAIRS)
def test_scores_stay_in_their_ranges(pairs: list[Pair]) -> None:
    scores = text_scores(pairs, DocumentFrequencies(pair.reference for pair in pairs))
    assert scores is not None
    assert 0 <= scores.cider <= 10 + 1e-9
    others = {name: value for name, value in vars(scores).items() if name != "cider"}
    assert all(0 <= value <= 1 + 1e-9 for value in others.values()), others


@given(WORDS.filter(bool).map(tuple))
def test_a_report_equal_to_its_reference_scores_best(words: Tokens) -> None:
    pair = Pair(words, words)
    assert rouge_l(pair) == pytest.approx(1)
    assert bleu([pair])[0] == pytest.approx(1)
    # Another document, so that the words have weight; n-grams longer than the text have none.
    frequencies = DocumentFrequencies([words, ("other",)])
    assert cider_d(pair, frequencies) == pytest.approx(10 * min(len(words), 4) / 4)
