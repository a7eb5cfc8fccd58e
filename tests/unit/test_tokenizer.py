"""Text to ids as the published tokenizers do it, and ids to text while they are being written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import Tokenizer, decoders, models

from ft_export.errors import WeightsNotFoundError
from ft_export.weights.tokenizers import bert_tokenizer, t5_tokenizer
from ftsdk.language.tokenizer import TextStream, TextTokenizer

LIMIT = 16
WORDS = "The following eye, pupil lip. NOSE é ß 中 ' n't 's don't 7 \t \n"
texts = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from(WORDS.split(" ")), max_size=30).map(" ".join)
)
VOCABULARY = 240


@pytest.fixture(scope="module")
def t5(mini_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("t5") / "tokenizer.json"
    t5_tokenizer(mini_weights / "flant5xl").save(str(path))
    return TextTokenizer(path.read_bytes(), LIMIT, clean_up_spaces=True)


@pytest.fixture(scope="module")
def bert(mini_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("bert") / "tokenizer.json"
    bert_tokenizer(mini_weights / "bert-base-uncased").save(str(path))
    return TextTokenizer(path.read_bytes(), LIMIT)


@pytest.fixture(scope="module")
def published(mini_weights: Path) -> dict[str, Any]:
    """The published files behind Transformers' own classes, by the folder's name."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    t5, bert = mini_weights / "flant5xl", mini_weights / "bert-base-uncased"
    return {
        "flant5xl": PreTrainedTokenizerFast(
            tokenizer_file=str(t5 / "tokenizer.json"), truncation_side="left"
        ),
        "bert-base-uncased": AutoTokenizer.from_pretrained(bert, truncation_side="left"),
    }


@settings(max_examples=150)
@given(text=texts)
def test_t5_ids_are_those_of_the_published_tokenizer(
    t5: TextTokenizer, published: dict[str, Any], text: str
) -> None:
    expected = published["flant5xl"](text, truncation=True, max_length=LIMIT)["input_ids"]
    assert t5.encode(text).tolist() == [expected]


@settings(max_examples=150)
@given(text=texts)
def test_bert_ids_are_those_of_the_published_tokenizer(
    bert: TextTokenizer, published: dict[str, Any], text: str
) -> None:
    expected = published["bert-base-uncased"](text, truncation=True, max_length=LIMIT)["input_ids"]
    assert bert.encode(text).tolist() == [expected]


@given(text=texts)
def test_long_texts_lose_their_beginning(t5: TextTokenizer, text: str) -> None:
    ids = t5.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape[1] <= LIMIT
    assert ids[0, -1] == 1
    longer = t5.encode("nose, " * 40 + text)
    assert longer.shape[1] == LIMIT
    kept = min(ids.shape[1], LIMIT) - 2
    if kept > 0:
        np.testing.assert_array_equal(longer[0, -kept:], ids[0, -kept:])


@given(text=texts)
def test_padding_is_id_0_on_the_right(t5: TextTokenizer, text: str) -> None:
    ids, padded = t5.encode(text), t5.encode_padded(text)
    assert padded.shape == (1, LIMIT)
    np.testing.assert_array_equal(padded[0, : ids.shape[1]], ids[0])
    assert not padded[0, ids.shape[1] :].any()


def streamed(tokenizer: TextTokenizer, ids: list[int]) -> list[tuple[int, str]]:
    """Return the pieces of a text."""
    stream = TextStream(tokenizer)
    count = len(ids)
    return [piece for at, one in enumerate(ids, 1) for piece in stream.add(one, at == count)]


@settings(max_examples=400)
@given(ids=st.lists(st.integers(0, VOCABULARY - 1), max_size=40))
@example(ids=[])
@example(ids=[1])
@example(ids=[0, 0, 1])
def test_streamed_pieces_are_the_decoded_text(t5: TextTokenizer, ids: list[int]) -> None:
    pieces = streamed(t5, ids)
    assert [token for token, _ in pieces] == ids
    assert "".join(text for _, text in pieces) == t5.decode(ids)


_PIECES = [
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    ".",
    ",",
    "'",
    "s",
    "ve",
    "n't",
    "▁a",
    "▁n",
    "▁'",
    "▁.",
    "é",
]


@pytest.fixture(scope="module")
def punctuating(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """A tokenizer whose every piece may be glued to the one before it by the clean-up."""
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in _PIECES], unk_id=2))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(_PIECES[:3])
    path = tmp_path_factory.mktemp("punctuating") / "tokenizer.json"
    tokenizer.save(str(path))
    return TextTokenizer(path.read_bytes(), LIMIT, clean_up_spaces=True)


@settings(max_examples=400)
@given(words=st.lists(st.sampled_from(_PIECES), max_size=12))
@example(words=["▁a", "▁", "▁'", "▁", "s"])
@example(words=["▁a", "▁", "'", "▁", "▁", "'", "s", "▁a"])
def test_streamed_pieces_survive_the_clean_up_of_spaces(
    punctuating: TextTokenizer, words: list[str]
) -> None:
    ids = [_PIECES.index(word) for word in words]
    pieces = streamed(punctuating, ids)
    assert "".join(text for _, text in pieces) == punctuating.decode(ids)


def test_a_piece_is_out_before_the_text_is_complete(t5: TextTokenizer) -> None:
    ids = t5.encode("the eye the nose the lip").tolist()[0]
    pieces = [text for _, text in streamed(t5, ids)]
    assert any(pieces[: len(pieces) // 2])


def test_special_tokens_are_not_text(t5: TextTokenizer) -> None:
    ids = t5.encode("nose").tolist()[0]
    assert ids[-1] == 1
    assert t5.decode([0, *ids, 0]) == t5.decode(ids[:-1]) == "nose"


def test_the_authors_clean_up_is_applied_to_what_is_decoded(t5: TextTokenizer) -> None:
    ids = t5.encode("eye . nose , lip").tolist()[0]
    assert t5.decode(ids) == "eye. nose, lip"


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"vocab\.txt"):
        bert_tokenizer(tmp_path)
    with pytest.raises(WeightsNotFoundError, match=r"tokenizer\.json or spiece\.model"):
        t5_tokenizer(tmp_path)


def test_sentencepiece_alone_gives_its_own_ids(mini_weights: Path, tmp_path: Path) -> None:
    """A T5 folder without `tokenizer.json`, against the library that its model is of."""
    model = tmp_path / "spiece.model"
    corpus = ["The mouth and the nose may have been modified, don't they? é", *WORDS.split()] * 4
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(model.with_suffix("")),
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((mini_weights / "flant5xl" / name).read_bytes())
    path = tmp_path / "converted.json"
    t5_tokenizer(tmp_path).save(str(path))
    converted = TextTokenizer(path.read_bytes(), 128, clean_up_spaces=True)
    published = SentencePieceProcessor(model_file=str(model))
    for text in ("mouth, eye and nose", "", "The Mouth's 3 don't", "é 中", "a  b"):
        assert converted.encode(text).tolist() == [[*published.encode(text), 1]]
