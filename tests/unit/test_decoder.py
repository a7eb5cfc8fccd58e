"""The cached decoder against the whole decoder, recomputed by an independent implementation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file

from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.cancellation import Cancellation
from ftsdk.engines.contract import Binding, Engine, Tensors
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.errors import NumericalError, OptionError
from ftsdk.language.decoder import StepDecoder, side_by_side
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.manifest import LanguageEntry

VOCABULARY = 240


@pytest.fixture(scope="module")
def entry(mini_bundle: Path) -> LanguageEntry:
    return open_bundle(mini_bundle).manifest.language


@pytest.fixture(scope="module")
def engine(mini_bundle: Path) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(mini_bundle / "graphs/language_decoder.onnx")


@pytest.fixture(scope="module")
def embeddings(mini_bundle: Path) -> TokenEmbeddings:
    return TokenEmbeddings((mini_bundle / "language/token_embeddings.npy").read_bytes())


@pytest.fixture(scope="module")
def memory(mini: Analyzer, face: Path) -> dict[str, Any]:
    """A trace: the encoder's output, keys and values among it."""
    return mini.trace(face)


@pytest.fixture(scope="module")
def reference(mini_weights: Path) -> Any:
    """Transformers' T5 with the authors' activation and bfloat16-rounded weights."""
    from transformers import T5Config, T5ForConditionalGeneration

    folder = mini_weights / "flant5xl"
    config = T5Config(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    config.dense_act_fn, config.tie_word_embeddings = "gelu", False
    model = T5ForConditionalGeneration(config).eval()
    state: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        state |= load_file(shard)
    tables = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    state |= dict.fromkeys(tables, state["shared.weight"])
    model.load_state_dict({name: v.bfloat16().float() for name, v in state.items()})
    return model


def recomputed(
    reference: Any, memory: dict[str, Any], histories: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the logits after whole `histories` [beams, t], without any cache."""
    beams = len(histories)
    encoder_output = torch.from_numpy(memory["encoder_output"]).expand(beams, -1, -1)
    with torch.inference_mode():
        hidden = reference.decoder(
            input_ids=torch.from_numpy(histories),
            encoder_hidden_states=encoder_output,
            use_cache=False,
        ).last_hidden_state[:, -1]
        return np.asarray(reference.lm_head(hidden).numpy())


def test_cached_steps_equal_a_full_recomputation(
    engine: Engine,
    embeddings: TokenEmbeddings,
    entry: LanguageEntry,
    memory: dict[str, Any],
    reference: Any,
) -> None:
    # Longer than the 128 positions after which T5's distances share a bucket.
    ids = np.random.default_rng(4).integers(0, VOCABULARY, 150)
    decoder = StepDecoder(engine, embeddings, entry, memory, 1, len(ids))
    for t in range(len(ids)):
        logits = decoder.step(ids[t : t + 1]).copy()
        if t % 40 == 0 or t in (15, 16, 17, 127, 128, 129):
            expected = recomputed(reference, memory, ids[None, : t + 1])
            np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-5)


@settings(max_examples=8)
@given(data=st.data(), beams=st.integers(2, 5), length=st.integers(2, 9))
def test_reordered_beams_equal_reordered_histories(
    engine: Engine,
    embeddings: TokenEmbeddings,
    entry: LanguageEntry,
    memory: dict[str, Any],
    reference: Any,
    data: st.DataObject,
    beams: int,
    length: int,
) -> None:
    ids = st.lists(st.integers(0, VOCABULARY - 1), min_size=beams, max_size=beams)
    orders = st.lists(st.integers(0, beams - 1), min_size=beams, max_size=beams)
    decoder = StepDecoder(engine, embeddings, entry, memory, beams, length)
    histories = np.array(data.draw(ids))[:, None]
    logits = decoder.step(histories[:, 0])
    for _ in range(length - 1):
        parents, tokens = np.array(data.draw(orders)), np.array(data.draw(ids))
        histories = np.concatenate((histories[parents], tokens[:, None]), axis=1)
        logits = decoder.step(tokens, parents)
        np.testing.assert_allclose(
            logits, recomputed(reference, memory, histories), atol=1e-4, rtol=1e-5
        )


class RecordedEngine(Engine):
    """A real engine that remembers which memory was bound to it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.bound: dict[str, NDArray[np.generic]] = {}
        self.results: dict[str, NDArray[np.generic]] = {}

    def infer(
        self, inputs: Tensors, cancellation: Cancellation | None = None
    ) -> dict[str, NDArray[np.generic]]:
        return self.engine.infer(inputs, cancellation)

    def bind(self, inputs: Tensors, outputs: Tensors) -> Binding:
        self.bound, self.results = dict(inputs), dict(outputs)
        return self.engine.bind(inputs, outputs)

    def close(self) -> None:
        self.engine.close()


def test_the_cache_is_written_in_place(
    engine: Engine, embeddings: TokenEmbeddings, entry: LanguageEntry, memory: dict[str, Any]
) -> None:
    recorded, beams, limit = RecordedEngine(engine), 3, 4
    decoder = StepDecoder(recorded, embeddings, entry, memory, beams, limit)
    caches = [name for name in recorded.results if name.startswith("present.")]
    assert len(caches) == 2 * entry.layers
    for name in caches:
        past = recorded.bound[name.replace("present", "past_key_values")]
        assert np.shares_memory(past, recorded.results[name])
        assert past.shape == (beams * limit, entry.heads * entry.d_kv)
    logits = [decoder.step(np.array([5, 6, 7]))]
    logits.append(decoder.step(np.array([8, 9, 3]), np.array([2, 0, 0])))
    assert np.shares_memory(*logits)
    for name in caches:
        written = recorded.results[name].any(axis=1)
        np.testing.assert_array_equal(written, np.arange(beams * limit) < 2 * beams)


def test_the_encoder_keys_are_bound_and_not_copied(
    engine: Engine, embeddings: TokenEmbeddings, entry: LanguageEntry, memory: dict[str, Any]
) -> None:
    recorded = RecordedEngine(engine)
    StepDecoder(recorded, embeddings, entry, memory, 5, 4)
    for name, value in recorded.bound.items():
        if ".encoder." in name:
            assert value is memory[name]
            assert value.shape[0] == 1


@settings(max_examples=10)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(1, 3), st.integers(0, 99))
def test_faces_side_by_side_are_stepped_as_alone(lengths: list[int], beams: int, seed: int) -> None:
    """nano's own decoder, over encoder tensors of other lengths a face."""
    nano, random, steps = open_bundle(None), np.random.default_rng(seed), 4
    entry = nano.manifest.language
    embeddings = TokenEmbeddings(nano.read(entry.token_embeddings))
    engine = OnnxRuntimeEngine(nano.file(nano.manifest.stages["language_decoder"].graph))
    faces = [_random_memory(entry, length, random) for length in lengths]
    alone = [StepDecoder(engine, embeddings, entry, face, beams, steps) for face in faces]
    together = side_by_side(entry, faces)
    decoder = StepDecoder(engine, embeddings, entry, together, beams, steps)
    assert (decoder.faces, decoder.rows) == (len(faces), len(faces) * beams)
    first = np.arange(len(faces)) * beams
    for _ in range(steps):
        tokens = random.integers(0, entry.vocabulary, (len(faces), beams))
        parents = random.integers(0, beams, (len(faces), beams))
        found = decoder.step(tokens.ravel(), (parents + first[:, None]).ravel())
        expected = [one.step(*given) for one, *given in zip(alone, tokens, parents, strict=True)]
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-4, rtol=1e-5)


def _random_memory(
    entry: LanguageEntry, length: int, random: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    shapes = {
        "key": (1, entry.heads, entry.d_kv, length),
        "value": (1, entry.heads, length, entry.d_kv),
    }
    return {
        f"past_key_values.{layer}.encoder.{part}": random.normal(size=shape).astype(np.float32)
        for layer in range(entry.layers)
        for part, shape in shapes.items()
    }


def test_logits_that_mean_nothing_are_an_error(
    engine: Engine, embeddings: TokenEmbeddings, entry: LanguageEntry, memory: dict[str, Any]
) -> None:
    poisoned = {
        name: np.full_like(value, np.nan) for name, value in memory.items() if ".encoder." in name
    }
    decoder = StepDecoder(engine, embeddings, entry, poisoned, 1, 4)
    with pytest.raises(NumericalError, match="language_decoder"):
        decoder.step(np.array([0]))


def test_a_cache_that_does_not_fit_is_refused_with_its_arithmetic(
    engine: OnnxRuntimeEngine, embeddings: TokenEmbeddings, entry: LanguageEntry
) -> None:
    xl = replace(entry, layers=24, heads=32, d_kv=64)
    with pytest.raises(OptionError) as caught:
        StepDecoder(engine, embeddings, xl, {}, 64, 1 << 20)
    found = caught.value.found
    assert "26388.28 GB" in found  # 2 x 24 x 64 x 2**20 x 2048 x 4 bytes
    assert "24 layers" in found
    assert "67108864 rows" in found
