"""The decoder, one token a beam at a time, over a cache that is written in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ftsdk.consistency import SOURCE_MASK
from ftsdk.engines.contract import Engine, Tensor, Tensors
from ftsdk.errors import OptionError
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.scores import Ids, Scores
from ftsdk.manifest import LanguageEntry
from ftsdk.stages import require_finite

#: Bytes of a cache that is made without asking how much memory is free.
_LITTLE = 16 << 20
#: What is added to the score of a position that is none: no weight is left of it, and it is within
#: 16 bits.
_HIDDEN = np.float32(-1e4)


class StepDecoder:
    """Key-value cache and one decoder step for `beams` continuations of each face's prompt.

    The cache of a layer is a table with one row a token: `[steps * rows, heads * d_kv]`, where rows
    are all faces' beams, one face after the other. A step writes that many at `slot_mapping` and
    reads every beam's own history through `cache_indirection`, so reordered beams exchange indices
    and nothing moves.

    Args:
        engine: the stage `language_decoder`.
        embeddings: its tokens'.
        entry: its sizes and special tokens.
        encoder_tensors: among others `past_key_values.{layer}.encoder.key` and `.value` of every
            layer, as the stage `language_encoder` gave them, or `side_by_side` those of several
            faces.
        beams: continuations of each face.
        max_new_tokens: steps for which the cache has room.
        before_step: called before each step; may raise.

    Raises:
        OptionError: the cache would not fit into the memory that is free.

    Attributes:
        faces: how many are written about.
        rows: all faces' beams.
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
        memory = _memory(entry, encoder_tensors)
        self.faces = max((tensor.shape[0] for tensor in memory.values()), default=1)
        self.rows = rows = self.faces * beams
        self._rows = np.zeros((rows, max_new_tokens), np.int64)
        self._indirection = np.empty(rows * max_new_tokens, np.int64)
        self._slots = np.empty(rows, np.int64)
        self._inputs_embeds = np.empty((rows, 1, embeddings.width), np.float32)
        self._logits = np.empty((rows, entry.vocabulary), np.float32)
        past, present = _cache(entry, rows * max_new_tokens)
        # What changes is bound as well, so that a runtime knows its memory.
        self._changing: dict[str, NDArray[np.generic]] = {
            "inputs_embeds": self._inputs_embeds,
            "slot_mapping": self._slots,
        }
        self._binding = engine.bind(
            {**self._changing, **past, **memory}, {"logits": self._logits, **present}
        )

    def step(self, tokens: Ids, parents: Ids | None = None) -> Scores:
        """Return the logits [rows, vocabulary] that follow `tokens` [rows].

        `parents` [rows] says which row of the previous step each one continues; None is itself.
        `before_step`, given at construction, may raise to stop here. The returned array is this
        decoder's own and is overwritten by the next step.
        """
        self._before_step()
        rows, length = len(tokens), self._steps + 1
        if parents is not None:
            self._rows[:, : self._steps] = self._rows[parents, : self._steps]
        self._slots[:] = np.arange(self._steps * rows, length * rows)
        self._rows[:, self._steps] = self._slots
        indirection = self._indirection[: rows * length].reshape(rows, length)
        indirection[:] = self._rows[:, :length]
        self._embeddings.look_up(tokens, out=self._inputs_embeds[:, 0])
        self._binding.run({**self._changing, "cache_indirection": indirection})
        require_finite("language_decoder", "logits", self._logits)
        self._steps = length
        return self._logits


def side_by_side(entry: LanguageEntry, faces: Sequence[Tensors]) -> Tensors:
    """Return the encoder's keys and values of `faces`, [1, ...] each, as those of one batch.

    Shorter ones are padded, and `source_mask` [faces, S] float32 hides the padding.
    """
    if len(faces) == 1:
        return faces[0]
    together: dict[str, NDArray[np.generic]] = {}
    lengths = [0]
    for name, axis in _memory_axes(entry).items():
        parts = [np.asarray(face[name]) for face in faces]
        lengths = [part.shape[axis] for part in parts]
        shape = list(parts[0].shape)
        shape[0], shape[axis] = len(faces), max(lengths)
        padded = together[name] = np.zeros(shape, np.float32)
        for row, part in enumerate(parts):
            padded[row][tuple(slice(length) for length in part.shape[1:])] = part[0]
    hidden = np.arange(max(lengths)) >= np.array(lengths)[:, None]
    return {**together, SOURCE_MASK: np.where(hidden, _HIDDEN, np.float32(0))}


def _memory_axes(entry: LanguageEntry) -> dict[str, int]:
    """Return by name the axis of the encoder's positions in its keys and values."""
    axes = {"key": 3, "value": 2}
    return {
        f"past_key_values.{layer}.encoder.{part}": axis
        for layer in range(entry.layers)
        for part, axis in axes.items()
    }


def _memory(entry: LanguageEntry, tensors: Tensors) -> dict[str, Tensor]:
    """Return what every step reads of the encoder."""
    memory = {name: value for name, value in tensors.items() if ".encoder." in name}
    if entry.several_faces and memory:
        faces, _, source, _ = memory["past_key_values.0.encoder.value"].shape
        mask = tensors.get(SOURCE_MASK)
        memory[SOURCE_MASK] = np.zeros((faces, source), np.float32) if mask is None else mask
    return memory


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
