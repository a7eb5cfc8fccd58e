"""The decoder, one token a beam at a time, over a cache that is written in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ftsdk.engines.contract import Engine, Tensors
from ftsdk.errors import OptionError
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.scores import Ids, Scores
from ftsdk.manifest import LanguageEntry
from ftsdk.stages import require_finite

#: Bytes of a cache that is made without asking how much memory is free.
_LITTLE = 16 << 20


class StepDecoder:
    """Key-value cache and one decoder step for `beams` continuations of one prompt.

    The cache of a layer is a table with one row a token: `[steps * beams, heads * d_kv]`. A step
    writes `beams` rows at `slot_mapping` and reads every beam's own history through
    `cache_indirection`, so reordered beams exchange indices and no row moves.

    Args:
        engine: the stage `language_decoder`.
        embeddings: its tokens'.
        entry: its sizes and special tokens.
        encoder_tensors: among others `past_key_values.{layer}.encoder.key` and `.value` of every
            layer, as the stage `language_encoder` gave them.
        beams: continuations that are stepped together.
        max_new_tokens: steps for which the cache has room.
        before_step: called before each step; may raise.

    Raises:
        OptionError: the cache would not fit into the memory that is free.
    """

    def __init__(
        self,
        engine: Engine,
        embeddings: TokenEmbeddings,
        entry: LanguageEntry,
        encoder_tensors: Tensors,
        beams: int,
        max_new_tokens: int,
        before_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_step = before_step
        self.start_token, self.end_token = entry.start_token, entry.end_token
        self.vocabulary = entry.vocabulary
        self._embeddings = embeddings
        self._steps = 0
        self._rows = np.zeros((beams, max_new_tokens), np.int64)
        self._indirection = np.empty(beams * max_new_tokens, np.int64)
        self._slots = np.empty(beams, np.int64)
        self._inputs_embeds = np.empty((beams, 1, embeddings.width), np.float32)
        self._logits = np.empty((beams, entry.vocabulary), np.float32)
        past, present = _cache(entry, beams * max_new_tokens)
        memory = {name: value for name, value in encoder_tensors.items() if ".encoder." in name}
        # What changes is bound as well, so that a runtime knows its memory.
        self._changing: dict[str, NDArray[np.generic]] = {
            "inputs_embeds": self._inputs_embeds,
            "slot_mapping": self._slots,
        }
        self._binding = engine.bind(
            {**self._changing, **past, **memory}, {"logits": self._logits, **present}
        )

    def step(self, tokens: Ids, parents: Ids | None = None) -> Scores:
        """Return the logits [beams, vocabulary] that follow `tokens` [beams].

        `parents` [beams] says which beam of the previous step each one continues; None is itself.
        `before_step`, given at construction, may raise to stop here. The returned array is this
        decoder's own and is overwritten by the next step.
        """
        self._before_step()
        beams, length = len(tokens), self._steps + 1
        if parents is not None:
            self._rows[:, : self._steps] = self._rows[parents, : self._steps]
        self._slots[:] = np.arange(self._steps * beams, length * beams)
        self._rows[:, self._steps] = self._slots
        indirection = self._indirection[: beams * length].reshape(beams, length)
        indirection[:] = self._rows[:, :length]
        self._embeddings.look_up(tokens, out=self._inputs_embeds[:, 0])
        self._binding.run({**self._changing, "cache_indirection": indirection})
        require_finite("language_decoder", "logits", self._logits)
        self._steps = length
        return self._logits


def _cache(
    entry: LanguageEntry, slots: int
) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]:
    """Allocate each layer's table once, under the names of the past and of the present."""
    _require_memory(entry, slots)
    past: dict[str, NDArray[np.generic]] = {}
    present: dict[str, NDArray[np.generic]] = {}
    for layer in range(entry.layers):
        for part in ("key", "value"):
            table = np.zeros((slots, entry.heads * entry.d_kv), np.float32)
            past[f"past_key_values.{layer}.decoder.{part}"] = table
            present[f"present.{layer}.decoder.{part}"] = table
    return past, present


def _require_memory(entry: LanguageEntry, slots: int) -> None:
    width = entry.heads * entry.d_kv
    needed = 2 * entry.layers * slots * width * 4
    if needed <= _LITTLE:
        return
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise OptionError(
            "the beams' cache would not fit into memory",
            expected=f"at most {free / 1e9:.2f} GB, which is free",
            found=f"{needed / 1e9:.2f} GB: keys and values (2) x {entry.layers} layers x {slots} "
            f"rows (beams x max_new_tokens) x {width} numbers x 4 bytes",
            cure="ask for fewer beams or a smaller max_new_tokens",
        )
