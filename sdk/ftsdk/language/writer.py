"""From the encoder's tensors to the token ids of reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ftsdk.engines.contract import Tensors
from ftsdk.engines.profile import MOST_ROWS
from ftsdk.errors import EngineRunError, OptionError
from ftsdk.language.decoder import StepDecoder, side_by_side
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import Chosen, generate_each
from ftsdk.language.options import Language
from ftsdk.manifest import LanguageEntry
from ftsdk.stages import Stages

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Text:
    """What was written about a face: the report, and its token ids without the start token."""

    report: str
    ids: tuple[int, ...]


class Writer(Protocol):
    """Yields what is added to the faces' reports, one report after the other or side by side.

    `faces` holds what the stage `language_encoder` gave for each,
    `past_key_values.{layer}.encoder.*` for every layer; `check` may raise to stop at the next
    token.
    """

    def __call__(
        self, faces: Sequence[Tensors], language: Language, check: Callable[[], None]
    ) -> Iterator[list[Chosen]]: ...


class StepWriter:
    """The writer of every analyzer: a bundle's decoder, a step for the next token of all faces."""

    def __init__(self, stages: Stages, embeddings: TokenEmbeddings, entry: LanguageEntry) -> None:
        self._stages, self._embeddings, self._entry = stages, embeddings, entry

    def __call__(
        self, faces: Sequence[Tensors], language: Language, check: Callable[[], None]
    ) -> Iterator[list[Chosen]]:
        most = max(1, MOST_ROWS // language.beams) if self._entry.several_faces else 1
        for first in range(0, len(faces), most):
            for tokens in self._some(faces[first : first + most], language, check):
                yield _of_faces_from(first, tokens)

    def _some(
        self, faces: Sequence[Tensors], language: Language, check: Callable[[], None]
    ) -> Iterator[list[Chosen]]:
        """Write about faces at once; where that fails before the first word, one by one."""
        begun = False
        try:
            for tokens in self._at_once(faces, language, check):
                begun = begun or bool(tokens)
                yield tokens
            return
        except (EngineRunError, OptionError) as error:
            if begun or len(faces) == 1:
                raise
            _log.warning(
                "language_decoder: %d faces at once failed, each is written about by itself: %s",
                len(faces), error.found,
            )  # fmt: skip
        for index, face in enumerate(faces):
            for tokens in self._at_once([face], language, check):
                yield _of_faces_from(index, tokens)

    def _at_once(
        self, faces: Sequence[Tensors], language: Language, check: Callable[[], None]
    ) -> Iterator[list[Chosen]]:
        decoder = StepDecoder(
            self._stages["language_decoder"],
            self._embeddings,
            self._entry,
            side_by_side(self._entry, faces),
            language.beams,
            language.max_new_tokens,
            before_step=check,
        )
        return generate_each(decoder, language)


def _of_faces_from(first: int, tokens: list[Chosen]) -> list[Chosen]:
    return [token._replace(face=first + token.face) for token in tokens] if first else tokens
