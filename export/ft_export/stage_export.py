"""One stage after the other to ONNX, each held against its float32 torch module."""

from __future__ import annotations

import gc
import tempfile
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from ft_calibration.reports import Report, read_reports, share_reports
from ft_export.bundle.golden import GOLDEN_PICTURE, GOLDEN_TEXT
from ft_export.bundle.journal import Finished, Journal
from ft_export.bundle.writer import draft_manifest, hash_drafted
from ft_export.chain import chain_of
from ft_export.gates.language_check import (
    FREE_TEXT,
    LOWERED,
    OBSERVED,
    REFERENCE,
    LanguageCheck,
    forced_logits,
)
from ft_export.gates.stage import compare, require_passed
from ft_export.gates.text import Written, measure, require_close_text
from ft_export.graph.export import dynamic_axes, export_graph
from ft_export.model.language import LanguageDecoder
from ft_export.model.layers import Stage
from ft_export.model.torch_engine import TorchEngine
from ft_export.plan import ModelPlan, StagePlan
from ft_export.precision.activations import Observations, observed
from ft_export.precision.language import LanguagePrecision, lower_language
from ft_export.showing import Show
from ftsdk.bundle import Bundle
from ftsdk.decision import suspected_regions
from ftsdk.engines.contract import Engine, arrays
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.decode import decode
from ftsdk.language.generate import generate
from ftsdk.manifest import GateEntry, Manifest, Precision, Rounding, StageEntry, stage_graph

LANGUAGE_STAGES = ("language_encoder", "language_decoder")
_EXAMPLE_FACES, _EXAMPLE_BEAMS, _EXAMPLE_LENGTH = 2, 3, 5

TensorDict = dict[str, NDArray[np.generic]]


class StageExport:
    """The state of an export: the golden picture's reference tensors and what was measured.

    Args:
        plan: what to export.
        folder: the bundle's directory.
        journal: where finished stages are recorded.
        finished: what an earlier export finished.
        show: called with a stage's name and what is being done to it.
        language: the language stages' precision.
        waived: a lowered language model may write anything.
    """

    def __init__(
        self,
        plan: ModelPlan,
        folder: Path,
        journal: Journal,
        finished: Finished,
        show: Show,
        language: LanguagePrecision,
        waived: bool,
    ) -> None:
        self.plan, self.folder, self.finished = plan, folder, finished
        self._journal, self._show = journal, show
        self._language, self._waived = language, waived
        self._reports = read_reports(plan.reports) if plan.reports else []
        self.draft: Manifest = draft_manifest(plan, folder)
        described = replace(self.draft, files=hash_drafted(folder, self.draft))
        self._chain = chain_of(Bundle(folder, described, sha256=""))
        framed = self._chain.frame(decode(GOLDEN_PICTURE))
        self.reference: TensorDict = arrays(self._chain.start(framed.pixels))
        self.reference |= journal.tensors(finished)
        plan.checkpoint.used |= set(finished.used)

    @property
    def report_ids(self) -> tuple[int, ...]:
        """What the float32 model writes about the golden picture; the start token is left out."""
        return self.finished.report_ids

    def export(self, stage: StagePlan) -> None:
        """Export one stage and hold it against its torch module; a finished one is kept.

        Raises:
            ExportError: weights, graph or gate failed.
        """
        if stage.name in self.finished.stages:
            self._show(stage.name, "kept")
            return
        self._show(stage.name, "loading")
        module = stage.load()
        self.plan.checkpoint.release()
        entry = StageEntry(
            graph=stage_graph(stage.name),
            precision=self._precision(stage.name),
            inputs=tuple(module.inputs),
            outputs=tuple(module.outputs),
            rounding=self._rounding(stage.name),
        )
        self._show(stage.name, "reference")
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as rows:
            outputs, written, seen = self._reference(stage.name, module, entry, Path(rows))
            self._show(stage.name, "exporting")
            self._write_graph(module, entry, seen)
        del module, seen
        self.plan.checkpoint.release()
        gc.collect()
        self._show(stage.name, "gate")
        self._hold(stage.name, entry, outputs, written)

    def _precision(self, stage: str) -> Precision:
        return self._language.precision if stage in LANGUAGE_STAGES else "float32"

    def _rounding(self, stage: str) -> Rounding | None:
        return self._language.rounding if self._precision(stage) == "int4" else None

    def _reference(
        self, stage: str, module: Stage, entry: StageEntry, rows: Path
    ) -> tuple[TensorDict, list[Written], Observations]:
        """Run the float32 module over the golden picture and, where it is lowered, the reports.

        GPTQ observes it on other reports than those that judge, and keeps what it saw in `rows`.
        """
        engine = TorchEngine(module)
        if entry.precision == "float32":
            return self._golden(stage, entry, engine), [], Observations()
        if not self._language.observes:
            with observed(module) as seen:
                outputs = self._golden(stage, entry, engine)
                return outputs, self._put_reports(stage, engine, REFERENCE), seen
        with observed(module, rows) as seen:
            outputs = self._golden(stage, entry, engine)
            self._put_reports(stage, engine, OBSERVED)
        return outputs, self._put_reports(stage, engine, REFERENCE), seen

    def _write_graph(self, module: Stage, entry: StageEntry, seen: Observations) -> None:
        rewrite = partial(lower_language, chosen=self._language, observations=seen)
        export_graph(
            module,
            self._example(module),
            dynamic_axes(module.inputs),
            self.folder / entry.graph,
            _unchanged if entry.precision == "float32" else rewrite,
        )

    def _hold(
        self, stage: str, entry: StageEntry, outputs: TensorDict, written: list[Written]
    ) -> None:
        """Hold the written graph against the reference, and record the stage as finished."""
        engine = OnnxRuntimeEngine(self.folder / entry.graph)
        measured = compare(stage, self._golden(stage, entry, engine), outputs)
        if entry.precision == "float32":
            require_passed(measured)
        else:
            lowered = self._put_reports(stage, engine, LOWERED)
            if lowered:
                text_gate = measure(written, lowered, self._waived)
                require_close_text(text_gate)
                self.finished = self.finished.model_copy(update={"text_gate": text_gate})
        engine.close()
        left = arrays(self._chain.advance(stage, {}, outputs))
        self.reference |= left
        self._record(stage, entry, measured, left)

    def _record(
        self, stage: str, entry: StageEntry, measured: list[GateEntry], left: TensorDict
    ) -> None:
        self.finished = self.finished.model_copy(
            update={
                "stages": {**self.finished.stages, stage: entry},
                "gate": (*self.finished.gate, *measured),
                "used": tuple(sorted(self.plan.checkpoint.used)),
            }
        )
        self._journal.record(self.finished, stage, left)

    def _golden(self, stage: str, entry: StageEntry, engine: Engine) -> TensorDict:
        """Return what a stage makes of the golden picture's reference tensors."""
        if stage == "language_decoder":
            return self._decode(engine)
        return arrays(engine.infer({name: self.reference[name] for name in entry.inputs}))

    def _decode(self, engine: Engine) -> TensorDict:
        """Return the logits [T, vocabulary] of the golden text; the first call writes the text."""
        decoder = partial(self._chain.decoder, engine, self.reference, 1)
        limit = GOLDEN_TEXT.max_new_tokens
        if not self.report_ids:
            ids = tuple(generate(decoder(limit), GOLDEN_TEXT))
            self.finished = self.finished.model_copy(update={"report_ids": ids})
        return {"logits": forced_logits(decoder(limit), self.report_ids)}

    @cached_property
    def _check(self) -> LanguageCheck:
        reports = self._reports
        if not reports:
            names = suspected_regions(self.reference, self.draft)
            golden = self.reference["qformer_output"].astype(np.float32)
            reports = [Report(golden, names, text="")]
        shared = share_reports(reports, observe=self._language.observes)
        return LanguageCheck(shared, self._chain, FREE_TEXT, self._journal.reports)

    def _put_reports(self, stage: str, engine: Engine, side: str) -> list[Written]:
        if stage == "language_encoder":
            self._check.encode(engine, side)
            return []
        if side == OBSERVED:
            self._check.observe(engine)
            return []
        return self._check.write(engine, side)

    def _example(self, module: Stage) -> dict[str, torch.Tensor]:
        """Return inputs to trace with; no axis that varies has length 1."""
        if isinstance(module, LanguageDecoder):
            return self._decoder_example(module)
        tensors = {name: torch.from_numpy(self.reference[name]) for name in module.inputs}
        return {name: torch.cat((value, value)) for name, value in tensors.items()}

    def _decoder_example(self, module: LanguageDecoder) -> dict[str, torch.Tensor]:
        """Return a step about one face, or about two if it takes several."""
        dims, faces = self.plan.language, _EXAMPLE_FACES if module.several else 1
        rows = faces * _EXAMPLE_BEAMS
        example = {
            "inputs_embeds": torch.zeros(rows, 1, dims.d_model),
            "slot_mapping": torch.arange(rows),
            "cache_indirection": torch.zeros(rows, _EXAMPLE_LENGTH, dtype=torch.int64),
        }
        for name in module.inputs:
            if ".decoder." in name:
                example[name] = torch.zeros(rows * _EXAMPLE_LENGTH, dims.inner)
            elif ".encoder." in name:
                example[name] = torch.cat([torch.from_numpy(self.reference[name])] * faces)
                source = example[name].shape[2]
        if module.several:
            example["source_mask"] = torch.zeros(faces, source)
        return example


def _unchanged(_: ir.Model) -> None:
    """Leave a graph as it is."""
