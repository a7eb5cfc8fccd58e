"""From the encoder's tensors to the token ids of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from ftsdk.engines.contract import Tensors
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.manifest import LanguageEntry
from ftsdk.stages import Stages


class Writer(Protocol):
    """Yields token ids, without the start token, with the end token when reached.

    `tensors` holds what the stage `language_encoder` gave, `past_key_values.{layer}.encoder.*` for
    every layer; `check` may raise to stop at the next token.
    """

    def __call__(
        self, tensors: Tensors, language: Language, check: Callable[[], None]
    ) -> Iterator[int]: ...


class StepWriter:
    """The writer of every analyzer: a bundle's decoder, one step a token."""

    def __init__(self, stages: Stages, embeddings: TokenEmbeddings, entry: LanguageEntry) -> None:
        self._stages, self._embeddings, self._entry = stages, embeddings, entry

    def __call__(
        self, tensors: Tensors, language: Language, check: Callable[[], None]
    ) -> Iterator[int]:
        decoder = StepDecoder(
            self._stages["language_decoder"],
            self._embeddings,
            self._entry,
            tensors,
            language.beams,
            language.max_new_tokens,
            before_step=check,
        )
        yield from generate(decoder, language)
