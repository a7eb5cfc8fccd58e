"""The decoding loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ftsdk.language.beam import beam_search
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.options import Language
from ftsdk.language.scores import penalise, sample


def generate(decoder: StepDecoder, options: Language) -> Iterator[int]:
    """Yield the report's token ids, without the start token, with the end token when reached.

    Greedy decoding and sampling yield each token when it is chosen; beam search knows its text
    only at the end.
    """
    if options.beams > 1:
        yield from beam_search(decoder, options)
        return
    random = np.random.default_rng(options.seed)
    history = np.full((1, options.max_new_tokens + 1), decoder.start_token, np.int64)
    for length in range(1, options.max_new_tokens + 1):
        scores = decoder.step(history[:, length - 1])
        penalise(scores, history[:, :length], options, decoder.end_token)
        if options.temperature is None:
            token = int(scores[0].argmax())
        else:
            token = sample(scores[0], options.temperature, options.top_p, random)
        history[0, length] = token
        yield token
        if token == decoder.end_token:
            return
