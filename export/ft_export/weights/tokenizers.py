"""The published tokenizers as `tokenizers` JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from ftsdk.errors import WeightsNotFoundError

_T5_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_T5_SENTINELS = [f"<extra_id_{number}>" for number in range(100)]


def bert_tokenizer(folder: Path) -> Tokenizer:
    """Return the lower-cased WordPiece tokenizer of a `vocab.txt`, `[CLS] text [SEP]`.

    Raises:
        WeightsNotFoundError: the vocabulary is missing.
    """
    vocabulary = folder / "vocab.txt"
    if not vocabulary.is_file():
        raise _missing(vocabulary)
    wordpiece: Tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)._tokenizer
    return wordpiece


def t5_tokenizer(folder: Path) -> Tokenizer:
    """Return the T5 tokenizer of `tokenizer.json`, or of `spiece.model` where that is all.

    Raises:
        WeightsNotFoundError: there is neither.
    """
    if (folder / "tokenizer.json").is_file():
        tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Older files leave it to the class around them to know which tokens are special.
        tokenizer.add_special_tokens(_special_tokens(folder))
        return tokenizer
    if not (folder / "spiece.model").is_file():
        raise _missing(folder / "tokenizer.json or spiece.model")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoTokenizer

    converted: Tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    return converted


def _special_tokens(folder: Path) -> list[str]:
    path = folder / "special_tokens_map.json"
    named = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    values = [named.get(kind, token) for kind, token in _T5_SPECIAL.items()]
    values += named.get("additional_special_tokens", _T5_SENTINELS)
    return [value["content"] if isinstance(value, dict) else value for value in values]


def _missing(path: Path) -> WeightsNotFoundError:
    return WeightsNotFoundError(
        "a tokenizer is missing",
        expected=str(path),
        found="no such file",
        cure="run the authors' download script again",
    )
