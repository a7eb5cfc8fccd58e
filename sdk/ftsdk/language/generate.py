"""The decoding loop: a step is one token of every report that is being written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ftsdk.language.beam import BeamSearch
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.options import Language
from ftsdk.language.scores import Ids, Scores, penalise, sample


class Chosen(NamedTuple):
    """A token of a report: of which face, its id, and whether the report ends with it."""

    face: int
    id: int
    last: bool


def chosen(face: int, ids: Sequence[int], ended: bool) -> list[Chosen]:
    """Return tokens of a face's report, which ends with them or goes on."""
    return [Chosen(face, token, ended and at == len(ids)) for at, token in enumerate(ids, start=1)]


class Search(Protocol):
    """How the tokens of one report are chosen; what else is being written does not matter to it.

    Attributes:
        tokens: what each beam goes on with, [beams].
        parents: which beam of the step before it continues, [beams].
        ended: nothing is to be chosen any more.
    """

    tokens: Ids
    parents: Ids
    ended: bool

    def advance(self, scores: Scores) -> list[int]:
        """Choose by the logits [beams, vocabulary], which may be written to.

        Returns the ids that are certain now: the end token with the others, the start token never.
        """


class Greedy:
    """Takes the likeliest token, or draws one; see `Search`."""

    def __init__(self, options: Language, start_token: int, end_token: int) -> None:
        self._options, self._end_token = options, end_token
        self._random = np.random.default_rng(options.seed)
        self._history = np.full((1, options.max_new_tokens + 1), start_token, np.int64)
        self._length = 1
        self.tokens, self.parents = self._history[:, 0], np.zeros(1, np.int64)
        self.ended = False

    def advance(self, scores: Scores) -> list[int]:
        """Choose a token by logits [1, vocabulary]; it is certain at once."""
        options, length = self._options, self._length
        penalise(scores, self._history[:, :length], options, self._end_token)
        if options.temperature is None:
            token = int(scores[0].argmax())
        else:
            token = sample(scores[0], options.temperature, options.top_p, self._random)
        self._history[0, length] = token
        self.tokens, self._length = self._history[:, length], length + 1
        self.ended = token == self._end_token or length == options.max_new_tokens
        return [token]


def generate(decoder: StepDecoder, options: Language) -> Iterator[int]:
    """Yield the token ids of the report about the decoder's only face; see `generate_each`."""
    return (token.id for tokens in generate_each(decoder, options) for token in tokens)


def generate_each(decoder: StepDecoder, options: Language) -> Iterator[list[Chosen]]:
    """Yield what each step adds to the reports, no start token, the end token when reached.

    Greedy decoding and sampling choose a token of each report; beam search knows a text only when
    it ends. A report that has ended is stepped along until all have, and not read.
    """
    searches = [_begin(decoder, options) for _ in range(decoder.faces)]
    first_rows = np.repeat(np.arange(decoder.faces) * options.beams, options.beams)
    parents = None
    while not all(search.ended for search in searches):
        scores = decoder.step(np.concatenate([search.tokens for search in searches]), parents)
        tokens = []
        for face, own in enumerate(np.split(scores, decoder.faces)):
            search = searches[face]
            if not search.ended:
                ids = search.advance(own)
                tokens += chosen(face, ids, search.ended)
        yield tokens
        if options.beams > 1:
            parents = first_rows + np.concatenate([search.parents for search in searches])


def _begin(decoder: StepDecoder, options: Language) -> Search:
    special = decoder.start_token, decoder.end_token
    return BeamSearch(options, *special) if options.beams > 1 else Greedy(options, *special)
