"""A model plan to a bundle, in order: stages, golden sample, manifest, the whole chain."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
import torch

from ft_export.bundle.golden import GOLDEN_PICTURE, GOLDEN_TEXT
from ft_export.bundle.journal import Journal
from ft_export.bundle.writer import hash_files, reserve, write_manifest
from ft_export.gates.stage import compare, require_equal_text, require_passed
from ft_export.plan import ModelPlan
from ft_export.precision.language import LanguagePrecision
from ft_export.showing import Show
from ft_export.stage_export import StageExport
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.onnxruntime import load_runtime
from ftsdk.errors import OptionError
from ftsdk.manifest import GateEntry, Manifest
from ftsdk.version import __version__


@dataclass(frozen=True)
class ExportOptions:
    """How a bundle is made of a plan.

    Attributes:
        language: the language model's precision.
        waive_text_gate: a lowered language model may write anything; the manifest says so.
        overwrite: replace a bundle that is there.
    """

    language: LanguagePrecision = field(default_factory=LanguagePrecision)
    waive_text_gate: bool = False
    overwrite: bool = False


def export_bundle(
    plan: ModelPlan, out: Path, show: Show, options: ExportOptions | None = None
) -> Bundle:
    """Write the bundle at `out`, or nothing if any check fails.

    An export that is killed leaves its finished stages beside `out`; the next one of the same
    weights with the same options and versions goes on after them.

    Args:
        plan: what to export.
        out: the directory to make.
        show: called with a stage's name and what is being done to it.
        options: precision, gate, and whether an existing bundle is replaced.

    Raises:
        OptionError: GPTQ was asked for, and there are no reports to observe.
        ExportError: weights, graphs or the gate failed; nothing is left at `out`.
    """
    options = options or ExportOptions()
    _require_reports(plan, options)
    with reserve(out, options.overwrite) as reserved:
        journal = Journal(reserved.journal)
        finished = journal.resume(_fingerprint(plan, options))
        if not finished.stages:
            reserved.clear()
        run = StageExport(
            plan, reserved.bundle, journal, finished, show, options.language,
            options.waive_text_gate,
        )  # fmt: skip
        for stage in plan.stages:
            run.export(stage)
        _finish(run, show)
    return open_bundle(out)


def _require_reports(plan: ModelPlan, options: ExportOptions) -> None:
    if options.language.observes and plan.reports is None:
        raise OptionError(
            "GPTQ rounds by what flows through the model, and no reports show that",
            expected=f"--reports FILE, or reports.npz in {plan.weights}",
            found="neither",
            cure="write one, see `python -m ft_calibration.reports --help`, or pass "
            "--rounding clipped",
        )


def _fingerprint(plan: ModelPlan, options: ExportOptions) -> str:
    """Return what the work of an earlier export must have in common with this one."""
    versions = {module.__name__: module.__version__ for module in (onnx, load_runtime(), torch)}
    files = [*(path for path in plan.weights.rglob("*") if path.is_file())]
    files += [plan.reports] if plan.reports else []
    sources = {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)}
    facts = [plan.name, repr(plan.architecture), sources, asdict(options), versions, __version__]
    return json.dumps(facts, sort_keys=True)


def _finish(run: StageExport, show: Show) -> None:
    """Write golden sample and manifest, and hold the chain that is on disk against float32."""
    _write_golden(run, run.report_ids)
    manifest = _manifest(run)
    write_manifest(run.folder, manifest)
    show("bundle", "end to end")
    measured, report_ids = _check_end_to_end(run, manifest)
    if report_ids != run.report_ids:  # a lowered language model has its own words
        _write_golden(run, report_ids)
        manifest = _manifest(run)
    write_manifest(run.folder, replace(manifest, gate=(*manifest.gate, *measured)))


def _manifest(run: StageExport) -> Manifest:
    return replace(
        run.draft,
        stages={**run.draft.stages, **run.finished.stages},
        gate=run.finished.gate,
        text_gate=run.finished.text_gate,
        dead_tensors=len(run.plan.checkpoint.dead),
        files=hash_files(run.folder),
    )


def _write_golden(run: StageExport, report_ids: tuple[int, ...]) -> None:
    """Store the golden picture and the float32 reference's tensors, for the end-to-end check.

    The ids are those that this bundle's own language model writes.
    """
    names = ("region_logits", "image_embeds", "mask_logits", "qformer_output", "encoder_output")
    golden = {name: run.reference[name] for name in names}
    golden["report_ids"] = np.array([[run.draft.language.start_token, *report_ids]])
    np.savez(run.folder / run.draft.golden_tensors, **golden)  # type: ignore[arg-type]
    (run.folder / run.draft.golden_picture).write_bytes(GOLDEN_PICTURE.read_bytes())


def _check_end_to_end(
    run: StageExport, manifest: Manifest
) -> tuple[list[GateEntry], tuple[int, ...]]:
    """Return what was measured of the whole chain, and the token ids that it wrote.

    Raises:
        GateError: a float32 tensor is over its limit, or a float32 language model wrote another
            text than its reference.
    """
    with Analyzer(run.folder, device="cpu") as analyzer:
        trace = analyzer.trace(GOLDEN_PICTURE, language=GOLDEN_TEXT)
        entries = compare("end to end", trace, analyzer.bundle.golden())
    lowered = {
        name
        for stage in manifest.stages.values()
        if stage.precision != "float32"
        for name in stage.outputs
    }
    require_passed([entry for entry in entries if entry.tensor not in lowered])
    ids = tuple(trace["report_ids"][0].tolist()[1:])
    if not lowered:
        require_equal_text(ids, run.report_ids)
    return entries, ids
