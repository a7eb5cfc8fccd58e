"""The same reports put to two language models, stage by stage: float32 first, then the lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ft_calibration.reports import Report, SharedReports
from ft_export.bundle.journal import ReportTensors
from ft_export.gates.text import Written
from ftsdk.chain import Chain
from ftsdk.engines.contract import Engine, arrays
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.generate import generate
from ftsdk.language.options import Language

TensorDict = dict[str, NDArray[np.generic]]
#: Who reads the reports: the float32 model and the lowered one those that judge, and the float32
#: model, while it is observed, the others.
REFERENCE, LOWERED, OBSERVED = "float32", "lowered", "observed"

#: How a report is written when the model is free to.
FREE_TEXT = Language(max_new_tokens=64)


def forced_logits(decoder: StepDecoder, ids: Sequence[int]) -> NDArray[np.float32]:
    """Return the logits [T, vocabulary] before each token of a text `ids` of T tokens."""
    history = (decoder.start_token, *ids[:-1])
    return np.stack([decoder.step(np.array([token]))[0].copy() for token in history])


@dataclass
class LanguageCheck:
    """Reports put to a float32 language model and to its lowered form.

    Attributes:
        reports: what is teacher-forced; an empty text is what the float32 model writes itself.
        chain: the bundle's prompts and its decoder.
        free: how a text is written that is not given.
        tensors: where is kept what the encoders made of each report.
    """

    reports: SharedReports
    chain: Chain
    free: Language
    tensors: ReportTensors
    _forced: dict[int, list[int]] = field(default_factory=dict)

    def encode(self, engine: Engine, side: str) -> None:
        """Run the language encoder over every report of a side."""
        for index, report in enumerate(self._of(side)):
            prompt = self.chain.prompt(report.regions).tensors["prompt_embeds"]
            inputs = {"qformer_output": report.qformer_output, "prompt_embeds": prompt}
            found = arrays(engine.infer(inputs)).items()
            self.tensors.write(side, index, {n: value for n, value in found if ".encoder." in n})

    def observe(self, engine: Engine) -> None:
        """Run the decoder over every report that is to be observed, teacher-forced."""
        for index, report in enumerate(self.reports.observed):
            self._force(engine, OBSERVED, index, self._ids(report.text))

    def write(self, engine: Engine, side: str) -> list[Written]:
        """Run the decoder over every report that judges, forced and free; float32 is first."""
        return [self._write(engine, index, side) for index in range(len(self.reports.judges))]

    def _of(self, side: str) -> Sequence[Report]:
        return self.reports.observed if side == OBSERVED else self.reports.judges

    def _write(self, engine: Engine, index: int, side: str) -> Written:
        decoder = self._decoder(engine, side, index, self.free.max_new_tokens)
        own = list(generate(decoder, self.free))
        ids = self._forced.setdefault(index, self._ids(self.reports.judges[index].text) or own)
        forced = self._force(engine, side, index, ids)
        return Written(forced, self.chain.prompts.tokenizer.decode(own))

    def _force(
        self, engine: Engine, side: str, index: int, ids: Sequence[int]
    ) -> NDArray[np.float32]:
        return forced_logits(self._decoder(engine, side, index, len(ids)), ids)

    def _ids(self, text: str) -> list[int]:
        return self.chain.prompts.tokenizer.encode(text)[0].tolist() if text else []

    def _decoder(self, engine: Engine, side: str, index: int, tokens: int) -> StepDecoder:
        return self.chain.decoder(engine, self.tensors.read(side, index), 1, tokens)
