"""The same reports put to two language models, stage by stage: float32 first, then the lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ft_calibration.reports import Report
from ft_export.gates.text import Written
from ftsdk.engines.contract import Engine, arrays
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.language.prompt import PromptBuilder
from ftsdk.manifest import LanguageEntry

TensorDict = dict[str, NDArray[np.generic]]
REFERENCE, LOWERED = "float32", "lowered"
_PREFIX = "reports/"


def forced_logits(decoder: StepDecoder, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits [T, vocabulary] before each token of a text `ids` of T tokens."""
    history = (decoder.start_token, *ids[:-1])
    return np.stack([decoder.step(np.array([token]))[0].copy() for token in history])


def is_of_report(name: str) -> bool:
    """Tell a tensor of a teacher-forced report from one of the golden picture."""
    return name.startswith(_PREFIX)


@dataclass
class LanguageCheck:
    """Teacher-forced and free texts of a float32 language model and of its lowered form.

    Attributes:
        reports: what is teacher-forced; an empty text is what the float32 model writes itself.
        tensors: what the encoders made of each report, under `reports/{index}/{side}/{name}`.
    """

    reports: Sequence[Report]
    prompts: PromptBuilder
    embeddings: TokenEmbeddings
    entry: LanguageEntry
    free: Language
    tensors: TensorDict
    _forced: dict[int, list[int]] = field(default_factory=dict)

    def encode(self, engine: Engine, side: str) -> None:
        """Run the language encoder over every report."""
        for index, report in enumerate(self.reports):
            prompt = self.prompts.build(report.regions).tensors["prompt_embeds"]
            inputs = {"qformer_output": report.qformer_output, "prompt_embeds": prompt}
            for name, value in arrays(engine.infer(inputs)).items():
                if ".encoder." in name:
                    self.tensors[f"{_PREFIX}{index}/{side}/{name}"] = value

    def write(self, engine: Engine, side: str) -> list[Written]:
        """Run the decoder over every report, forced and free; float32 has to be first."""
        return [self._write(engine, index, side) for index in range(len(self.reports))]

    def _write(self, engine: Engine, index: int, side: str) -> Written:
        prefix = f"{_PREFIX}{index}/{side}/"
        memory = {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }
        own = list(generate(self._decoder(engine, memory, self.free.max_new_tokens), self.free))
        ids = self._forced.setdefault(index, self._ids(self.reports[index].text, own))
        logits = forced_logits(self._decoder(engine, memory, len(ids)), ids)
        return Written(logits, self.prompts.tokenizer.decode(own))

    def _ids(self, text: str, own: list[int]) -> list[int]:
        return self.prompts.tokenizer.encode(text)[0].tolist() if text else own

    def _decoder(self, engine: Engine, memory: TensorDict, tokens: int) -> StepDecoder:
        return StepDecoder(engine, self.embeddings, self.entry, memory, 1, tokens)
