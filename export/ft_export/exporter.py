"""A model plan to a bundle, stage by stage, so that memory never holds two large stages."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ft_export.bundle_writer import draft_manifest, hash_files, reserve, write_manifest
from ft_export.gate import compare, require_equal_text, require_passed
from ft_export.graphs import dynamic_axes, export_graph
from ft_export.model.layers import Stage
from ft_export.plan import ModelPlan, StagePlan
from ft_export.torch_engine import TorchEngine
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, GateEntry, Manifest, StageEntry, open_bundle
from ftsdk.engines.contract import Engine
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.imaging.decode import decode
from ftsdk.imaging.faces import frame
from ftsdk.imaging.preprocess import Preprocessing
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.language.prompt import PromptBuilder

GOLDEN_PICTURE = Path(__file__).with_name("golden_picture.png")
_GOLDEN_TEXT = Language(max_new_tokens=24)
_EXAMPLE_BEAMS, _EXAMPLE_LENGTH = 3, 5

TensorDict = dict[str, NDArray[np.generic]]
Progress = Callable[[str, str], None]


def export_bundle(
    plan: ModelPlan, out: Path, progress: Progress, overwrite: bool = False
) -> Bundle:
    """Write the bundle at `out`, or nothing if any check fails.

    Args:
        plan: what to export.
        out: the directory to make; an existing bundle there is replaced only if `overwrite`.
        progress: called with a stage's name and what is being done to it.

    Raises:
        ExportError: weights, graphs or the gate failed; nothing is left at `out`.
    """
    with reserve(out, overwrite) as folder:
        run = _Export(plan, folder, progress)
        for stage in plan.stages:
            run.export(stage)
        run.write_golden()
        manifest = run.draft.model_copy(
            update={
                "stages": run.stages,
                "gate": tuple(run.gate),
                "dead_tensors": len(plan.checkpoint.dead),
            }
        )
        manifest = manifest.model_copy(update={"files": hash_files(folder)})
        write_manifest(folder, manifest)
        progress("bundle", "end to end")
        measured = (*manifest.gate, *run.check_end_to_end())
        write_manifest(folder, manifest.model_copy(update={"gate": measured}))
    return open_bundle(out)


@dataclass
class _Export:
    """The state of one export: reference tensors of the golden picture and what was measured."""

    plan: ModelPlan
    folder: Path
    progress: Progress
    stages: dict[str, StageEntry] = field(default_factory=dict)
    gate: list[GateEntry] = field(default_factory=list)
    reference: TensorDict = field(default_factory=dict)
    report_ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draft: Manifest = draft_manifest(self.plan, self.folder)
        bundle = Bundle(self.folder, self.draft, sha256="")
        self.embeddings = TokenEmbeddings(bundle.file(self.draft.language.token_embeddings))
        self.prompts = PromptBuilder(bundle, self.embeddings)
        preprocessing = Preprocessing(**self.draft.preprocessing.model_dump())
        framed = frame(decode(GOLDEN_PICTURE).pixels, self.draft.framing)
        self.reference["pixel_values"] = preprocessing.pixel_values(framed.pixels)

    def export(self, stage: StagePlan) -> None:
        """Export one stage and hold it against its torch module."""
        self.progress(stage.name, "loading")
        module = stage.load()
        graph = f"graphs/{stage.name}.onnx"
        self.stages[stage.name] = StageEntry(
            graph=graph,
            precision="float32",
            inputs=tuple(module.inputs),
            outputs=tuple(module.outputs),
        )
        self.progress(stage.name, "reference")
        decodes = stage.name == "language_decoder"
        run = self._decode if decodes else partial(self._infer, stage.name)
        outputs = run(TorchEngine(module))
        self.progress(stage.name, "exporting")
        axes = dynamic_axes(module.inputs)
        export_graph(module, self._example(module), axes, self.folder / graph)
        del module
        gc.collect()
        self.progress(stage.name, "gate")
        engine = OnnxRuntimeEngine(self.folder / graph)
        entries = compare(stage.name, run(engine), outputs)
        require_passed(entries)
        self.gate += entries
        self.reference |= outputs
        if stage.name == "forgery_prompter":
            self._add_prompt()

    def write_golden(self) -> None:
        """Store the golden picture's reference, for `ft-doctor` and for the end-to-end check."""
        names = ("region_logits", "image_embeds", "mask_logits", "qformer_output", "encoder_output")
        golden = {name: self.reference[name] for name in names}
        path = self.folder / self.draft.golden_tensors
        golden["report_ids"] = np.array([[self.draft.language.start_token, *self.report_ids]])
        np.savez(path, **golden)  # type: ignore[arg-type]
        (self.folder / self.draft.golden_picture).write_bytes(GOLDEN_PICTURE.read_bytes())

    def check_end_to_end(self) -> list[GateEntry]:
        """Hold the whole written chain against the reference and return what was measured."""
        with (
            Analyzer(self.folder, device="cpu") as analyzer,
            np.load(self.folder / self.draft.golden_tensors, allow_pickle=False) as golden,
        ):
            trace = analyzer.trace(GOLDEN_PICTURE, language=_GOLDEN_TEXT)
            entries = compare("end to end", trace, dict(golden))
            require_passed(entries)
            require_equal_text(trace["report_ids"][0].tolist(), golden["report_ids"][0].tolist())
        return entries

    def _infer(self, stage: str, engine: Engine) -> TensorDict:
        return engine.infer({name: self.reference[name] for name in self.stages[stage].inputs})

    def _decode(self, engine: Engine) -> TensorDict:
        """Return the logits [T, vocabulary] of the golden text; the first call writes the text."""
        limit = _GOLDEN_TEXT.max_new_tokens
        arguments = (self.embeddings, self.draft.language, self.reference, 1, limit)
        if not self.report_ids:
            self.report_ids = list(generate(StepDecoder(engine, *arguments), _GOLDEN_TEXT))
        decoder = StepDecoder(engine, *arguments)
        history = [decoder.start_token, *self.report_ids[:-1]]
        logits = [decoder.step(np.array([token]))[0].copy() for token in history]
        return {"logits": np.stack(logits)}

    def _add_prompt(self) -> None:
        probabilities = 1 / (1 + np.exp(-self.reference["region_logits"][0].astype(np.float64)))
        named = [
            label
            for label, p in zip(self.draft.labels, probabilities, strict=True)
            if p > self.draft.region_threshold
        ]
        self.reference |= self.prompts.build(named).tensors

    def _example(self, module: Stage) -> dict[str, torch.Tensor]:
        """Return inputs to trace with; no axis that varies has length 1."""
        dims = self.plan.language
        example = {
            "inputs_embeds": torch.zeros(_EXAMPLE_BEAMS, 1, dims.d_model),
            "slot_mapping": torch.arange(_EXAMPLE_BEAMS),
            "cache_indirection": torch.zeros(_EXAMPLE_BEAMS, _EXAMPLE_LENGTH, dtype=torch.int64),
        }
        for name in module.inputs:
            if ".decoder." in name:
                example[name] = torch.zeros(_EXAMPLE_BEAMS * _EXAMPLE_LENGTH, dims.inner)
            elif name not in example:
                value = torch.from_numpy(self.reference[name])
                example[name] = value if ".encoder." in name else torch.cat((value, value))
        return example
