"""A decoder that writes a text, to be timed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ftsdk.bundle import Bundle
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.manifest import LanguageEntry

THREADS = (1, 2)
TOKENS = 30
#: Encoder positions: 32 soft tokens and a prompt of the published length.
SOURCE = 96


class Decoding:
    """A decoder over random encoder tensors: speed does not depend on their values."""

    def __init__(
        self, graph: Path, entry: LanguageEntry, embeddings: TokenEmbeddings, threads: int
    ) -> None:
        self.entry, self.embeddings = entry, embeddings
        self.engine = OnnxRuntimeEngine(graph, "cpu", threads)
        random = np.random.default_rng(0)
        heads, d_kv = entry.heads, entry.d_kv
        shapes = {"key": (1, heads, d_kv, SOURCE), "value": (1, heads, SOURCE, d_kv)}
        self.memory = {
            f"past_key_values.{layer}.encoder.{part}": random.normal(size=shape).astype(np.float32)
            for layer in range(entry.layers)
            for part, shape in shapes.items()
        }

    @classmethod
    def of_bundle(cls, bundle: Bundle, threads: int) -> Decoding:
        """Return the decoder of a bundle."""
        manifest = bundle.manifest
        graph = bundle.file(manifest.stages["language_decoder"].graph)
        table = bundle.file(manifest.language.token_embeddings)
        return cls(graph, manifest.language, TokenEmbeddings(table.read_bytes()), threads)

    def write(self, beams: int = 1) -> None:
        """Decode TOKENS tokens; an end is not allowed before."""
        options = Language(beams=beams, max_new_tokens=TOKENS, min_length=TOKENS + 1)
        decoder = StepDecoder(self.engine, self.embeddings, self.entry, self.memory, beams, TOKENS)
        assert len(list(generate(decoder, options))) >= TOKENS


def milliseconds_a_token(decoding: Decoding) -> float:
    """Return ms a token of the whole loop, of one text."""
    start = time.perf_counter()
    decoding.write()
    return 1e3 * (time.perf_counter() - start) / TOKENS
