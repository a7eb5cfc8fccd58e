"""From region names to the prompt and its tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftsdk.bundle import open_bundle
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.prompt import PromptBuilder
from ftsdk.regions import LABELS


@pytest.fixture(scope="module")
def embeddings(mini_bundle: Path) -> TokenEmbeddings:
    return TokenEmbeddings((mini_bundle / "language/token_embeddings.npy").read_bytes())


@pytest.fixture(scope="module")
def prompts(mini_bundle: Path, embeddings: TokenEmbeddings) -> PromptBuilder:
    return PromptBuilder(open_bundle(mini_bundle), embeddings)


def test_the_prompt_names_the_regions(prompts: PromptBuilder) -> None:
    text = prompts.build(["lip", "nose"]).text
    assert text.startswith("The following facial areas may have been modified by AI: lip, nose. ")


def test_without_regions_the_list_is_left_out(prompts: PromptBuilder) -> None:
    text = prompts.build([]).text
    assert text.startswith("The following facial areas may have been modified by AI. These areas")


@settings(max_examples=60)
@given(named=st.sets(st.sampled_from(LABELS)))
def test_every_tensor_of_the_prompt(
    prompts: PromptBuilder, embeddings: TokenEmbeddings, named: set[str]
) -> None:
    names = [label for label in LABELS if label in named]
    prompt = prompts.build(names)
    labels = prompt.tensors["region_labels"]
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[float(label in named) for label in LABELS]])
    ids = prompt.tensors["prompt_ids"]
    assert ids.shape[0] == 1
    assert ids.shape[1] <= 128
    np.testing.assert_array_equal(prompt.tensors["prompt_embeds"], embeddings.look_up(ids))
    assert prompt.tensors["region_embeds"].shape == (1, 21, embeddings.width)
    assert prompt.tensors["qformer_ids"].shape[1] <= 128
    assert prompt.tensors["qformer_ids"].dtype == ids.dtype == np.int64


def test_unused_region_tokens_are_the_row_of_id_0(
    prompts: PromptBuilder, embeddings: TokenEmbeddings
) -> None:
    """No names are the end token alone; the padding after it is embedded, not masked."""
    rows = prompts.build([]).tensors["region_embeds"][0]
    np.testing.assert_array_equal(rows[0], embeddings.look_up(np.array([1]))[0])
    np.testing.assert_array_equal(rows[1:], np.repeat(embeddings.look_up(np.array([0])), 20, 0))


def test_region_tokens_are_cut_on_the_left(
    prompts: PromptBuilder, embeddings: TokenEmbeddings
) -> None:
    rows = prompts.build(list(LABELS)).tensors["region_embeds"][0]
    np.testing.assert_array_equal(rows[-1], embeddings.look_up(np.array([1]))[0])
