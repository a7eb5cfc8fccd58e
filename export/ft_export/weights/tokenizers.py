"""The published tokenizers as `tokenizers` JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from ft_export.errors import WeightsNotFoundError
from ft_export.weights.reading import loaded, parsed, require_regular

_T5_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_T5_SENTINELS = [f"<extra_id_{number}>" for number in range(100)]


def bert_tokenizer(folder: Path) -> Tokenizer:
    """Return the lower-cased WordPiece tokenizer of a `vocab.txt`, `[CLS] text [SEP]`.

    Raises:
        WeightsNotFoundError: the vocabulary is missing.
        WeightsFileError: it is no vocabulary.
    """
    vocabulary = folder / "vocab.txt"
    if not vocabulary.exists():
        raise _missing(vocabulary)
    wordpiece: Tokenizer = loaded(
        vocabulary,
        "a word to a line, those of BERT among them",
        lambda path: BertWordPieceTokenizer(str(path), lowercase=True)._tokenizer,
    )
    return wordpiece


def t5_tokenizer(folder: Path) -> Tokenizer:
    """Return the T5 tokenizer of `tokenizer.json`, or of `spiece.model` where that is all.

    Raises:
        WeightsNotFoundError: there is neither.
        WeightsFileError: the one that is there cannot be read.
    """
    whole, pieces = folder / "tokenizer.json", folder / "spiece.model"
    if whole.exists():
        tokenizer = parsed(whole, "a JSON file of the tokenizers library", Tokenizer.from_buffer)
        # Older files leave it to the class around them to know which tokens are special.
        tokenizer.add_special_tokens(_special_tokens(folder / "special_tokens_map.json"))
        return tokenizer
    if not pieces.exists():
        raise _missing(folder / "tokenizer.json or spiece.model")
    for path in folder.iterdir():  # transformers reads more of them than it is told
        if not path.is_dir():
            require_regular(path)
    return loaded(pieces, "the pieces of T5's tokenizer", _converted)


def _converted(pieces: Path) -> Tokenizer:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(pieces.parent).backend_tokenizer
    return tokenizer


def _special_tokens(path: Path) -> list[str]:
    return parsed(path, "special tokens by their kind", _named) if path.exists() else _named(b"{}")


def _named(content: bytes) -> list[str]:
    named = json.loads(content)
    values = [named.get(kind, token) for kind, token in _T5_SPECIAL.items()]
    values += named.get("additional_special_tokens", _T5_SENTINELS)
    tokens = [value["content"] if isinstance(value, dict) else value for value in values]
    if not all(isinstance(token, str) for token in tokens):
        raise TypeError("a token that is no text")
    return tokens


def _missing(path: Path) -> WeightsNotFoundError:
    return WeightsNotFoundError(
        "a tokenizer is missing",
        expected=str(path),
        found="no such file",
        cure="run the authors' download script again",
    )
