"""Text to token ids and back, as the model's training did it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from ftsdk.errors import BundleContentError
from ftsdk.language.scores import Ids

# Transformers 4.33.2, `clean_up_tokenization`.
_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class TextTokenizer:
    """A tokenizer with a limit; text that is too long loses its beginning.

    Args:
        content: the bytes of a `tokenizers` JSON file.
        max_tokens: the limit.
        clean_up_spaces: take spaces away before punctuation.

    Raises:
        BundleContentError: they are no tokenizer.
    """

    def __init__(self, content: bytes, max_tokens: int, clean_up_spaces: bool = False) -> None:
        self._tokenizer = _parsed(content)
        self._tokenizer.enable_truncation(max_tokens, direction="left")
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        self._clean_up_spaces = clean_up_spaces

    def encode(self, text: str) -> Ids:
        """Return `[1, T]` int64 with the special tokens, T at most the limit."""
        return np.array([self._tokenizer.encode(text).ids], np.int64)

    def encode_padded(self, text: str) -> Ids:
        """Return `[1, limit]` int64, filled with id 0 on the right."""
        ids = self.encode(text)
        return np.pad(ids, ((0, 0), (0, self._max_tokens - ids.shape[1])))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        if self._clean_up_spaces:
            for separated, joined in _CLEAN_UP:
                text = text.replace(separated, joined)
        return text


class TextStream:
    """Ids to text as they come; the pieces together are `decode` of all ids.

    A word and the spaces before it are held back until the next one begins, since later tokens may
    still change them.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._seen: list[int] = []
        self._written = 0

    def add(self, token: int, last: bool) -> list[tuple[int, str]]:
        """Return `(id, new text)` of the token before, and of this one if it is the last."""
        pieces = []
        if self._seen:
            text = self._tokenizer.decode(self._seen)
            stable = max(len(text.rpartition(" ")[0].rstrip(" ")), self._written)
            pieces.append((self._seen[-1], text[self._written : stable]))
            self._written = stable
        self._seen.append(token)
        if last:
            pieces.append((token, self._tokenizer.decode(self._seen)[self._written :]))
        return pieces


def _parsed(content: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_buffer(content)
    except BaseException as error:  # the library's panics are no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise BundleContentError(
            "a tokenizer of the bundle cannot be read",
            expected="a JSON file of the tokenizers library",
            found=str(error)[:200],
            cure="export the bundle again, or install the tokenizers that it was exported with",
        ) from error
