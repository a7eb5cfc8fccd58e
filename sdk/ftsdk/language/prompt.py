"""The host's part between the forgery prompter and the rest: regions to prompt and token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.tokenizer import TextTokenizer
from ftsdk.manifest import TokenizerEntry


@dataclass(frozen=True)
class Prompt:
    """The question in words, and as every tensor that a stage may ask for."""

    text: str
    tensors: dict[str, NDArray[np.generic]]


class PromptBuilder:
    """Turns region names into the prompt that this bundle's model was trained with."""

    def __init__(self, bundle: Bundle, embeddings: TokenEmbeddings) -> None:
        manifest = bundle.manifest
        entry = manifest.language_tokenizer
        self.tokenizer = _tokenizer(bundle, entry, manifest.language.clean_up_spaces)
        regions = replace(entry, max_tokens=manifest.region_tokens)
        self._region_tokenizer = _tokenizer(bundle, regions)
        qformer = manifest.qformer_tokenizer
        self._qformer_tokenizer = _tokenizer(bundle, qformer) if qformer else None
        self._embeddings = embeddings
        self._templates, self._labels = manifest.prompt, manifest.labels

    def build(self, regions: Sequence[str]) -> Prompt:
        """Return the prompt that names `regions`, which may be empty.

        Tensors: `region_labels` [1, labels] float32, 1 where named; `region_embeds`
        [1, region_tokens, d_model]; `prompt_ids` [1, T] int64; `prompt_embeds` [1, T, d_model];
        `qformer_ids` [1, T'] int64 where the model has a tokenizer of its own for it.
        """
        template = self._templates.with_regions if regions else self._templates.without_regions
        text = template.replace("{regions}", ", ".join(regions))
        prompt_ids = self.tokenizer.encode(text)
        region_ids = self._region_tokenizer.encode_padded(" ".join(regions))
        named = np.isin(np.array(self._labels), list(regions))
        tensors: dict[str, NDArray[np.generic]] = {
            "region_labels": named.astype(np.float32)[None],
            "region_embeds": self._embeddings.look_up(region_ids),
            "prompt_ids": prompt_ids,
            "prompt_embeds": self._embeddings.look_up(prompt_ids),
        }
        if self._qformer_tokenizer:
            tensors["qformer_ids"] = self._qformer_tokenizer.encode(text)
        return Prompt(text, tensors)


def _tokenizer(bundle: Bundle, entry: TokenizerEntry, clean_up: bool = False) -> TextTokenizer:
    return TextTokenizer(bundle.read(entry.file), entry.max_tokens, clean_up)
