"""What each precision and rounding of a language model costs in fidelity, and gains in size.

    python -m benchmarks.precisions training/nano nano.bundle --reports reports.npz

Every row is judged by the same reports, and none of them was observed by GPTQ. Writes its table
into docs/benchmarks.md; `--speeds`, on an idle machine, writes a second one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.decoding import THREADS, Decoding, milliseconds_a_token
from benchmarks.sections import MarkdownTable, measured_here
from ft_calibration.reports import read_reports, share_reports
from ft_export.bundle.journal import ReportTensors
from ft_export.chain import chain_of
from ft_export.gates.language_check import (
    FREE_TEXT,
    LOWERED,
    OBSERVED,
    REFERENCE,
    LanguageCheck,
)
from ft_export.gates.text import Written, measure
from ft_export.graph.files import data_file, load_graph, save_graph
from ft_export.model.architecture import architecture_of
from ft_export.model.torch_engine import TorchEngine
from ft_export.plan import plan_export
from ft_export.precision.activations import Observations, observed
from ft_export.precision.language import LanguagePrecision, lower_language
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.contract import Engine
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.manifest import TextGateEntry

ENCODER, DECODER = STAGES = ("language_encoder", "language_decoder")
VARIANTS = (
    LanguagePrecision("float32"),
    LanguagePrecision("float16"),
    LanguagePrecision("nf4"),
    *(
        LanguagePrecision("int4", block, rounding)
        for block in (32, 64)
        for rounding in ("nearest", "clipped", "gptq")
    ),
)

app = typer.Typer(add_completion=False)


@dataclass
class Trials:
    """A float32 bundle's language model, observed once, and its variants.

    Attributes:
        bundle: with a float32 language model.
        weights: what it was exported from.
        reports: a file of reports.
        folder: where graphs and tensors go.
    """

    bundle: Bundle
    weights: Path
    reports: Path
    folder: Path
    seen: dict[str, Observations] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check = LanguageCheck(
            share_reports(read_reports(self.reports), observe=True),
            chain_of(self.bundle),
            FREE_TEXT,
            ReportTensors(self.folder / "reports"),
        )
        self._observe()
        self.check.encode(self._engine(ENCODER), REFERENCE)
        self.written = self.check.write(self._engine(DECODER), REFERENCE)

    def _observe(self) -> None:
        architecture = architecture_of(self.weights, None)
        plan = plan_export(self.weights, architecture, self.bundle.manifest.name)
        for stage in plan.stages:
            if stage.name not in STAGES:
                continue
            rows = self.folder / f"rows-{stage.name}"
            rows.mkdir()
            module = stage.load()
            with observed(module, rows) as self.seen[stage.name]:
                if stage.name == ENCODER:
                    self.check.encode(TorchEngine(module), OBSERVED)
                else:
                    self.check.observe(TorchEngine(module))

    def _engine(self, stage: str) -> Engine:
        return OnnxRuntimeEngine(self.bundle.file(self.bundle.manifest.stages[stage].graph))

    def lower(self, variant: LanguagePrecision, folder: Path) -> TextGateEntry:
        """Write a variant's graphs into `folder`, and return how far its text is from float32."""
        folder.mkdir()
        for stage in STAGES:
            model = load_graph(self.bundle.file(self.bundle.manifest.stages[stage].graph))
            if variant.precision != "float32":
                lower_language(model, variant, self.seen[stage])
            save_graph(model, folder / f"{stage}.onnx")
        self.check.encode(OnnxRuntimeEngine(folder / f"{ENCODER}.onnx"), LOWERED)
        lowered = self.check.write(OnnxRuntimeEngine(folder / f"{DECODER}.onnx"), LOWERED)
        return measure(self.written, lowered)


@app.command(help=__doc__)
def precisions(
    weights: Annotated[Path, typer.Argument(help="Weights, as training/nano.")],
    bundle_path: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="Their bundle, in float32.")
    ],
    reports: Annotated[
        Path | None, typer.Option(help="Reports to observe and to judge; the weights' own if none.")
    ] = None,
    speeds: Annotated[bool, typer.Option("--speeds", help="Also measure ms a token.")] = False,
) -> None:
    head = ("precision", "block", "rounding", "language MB")
    gate = ("mean KL", "p99 KL", "same first choice", "CIDEr", "BLEU-4", "ROUGE-L")
    rows = MarkdownTable((*head, *gate))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trials = Trials(
            open_bundle(bundle_path), weights, reports or weights / "reports.npz", folder
        )
        for number, variant in enumerate(VARIANTS):
            Console(stderr=True).print(f"lowering to {variant}")
            entry = trials.lower(variant, folder / str(number))
            rows.add((*_names(variant), *_cells(trials, folder / str(number), entry)))
        shared = trials.check.reports
        rows.publish(
            "language-precisions",
            f"{trials.bundle.manifest.name}; {len(shared.judges)} reports of {entry.tokens} tokens "
            f"judge, {len(shared.observed)} others are observed.",
        )
        if speeds:
            _speeds(trials, folder)


def _names(variant: LanguagePrecision) -> tuple[str, str, str]:
    four_bits = variant.precision == "int4"
    return (
        variant.precision,
        str(variant.block) if four_bits else "",
        variant.rounding if four_bits else "",
    )


def _cells(trials: Trials, folder: Path, entry: TextGateEntry) -> Iterator[str]:
    manifest = trials.bundle.manifest
    graphs = [folder / f"{stage}.onnx" for stage in STAGES]
    files = [file for graph in graphs for file in (graph, data_file(graph)) if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    yield f"{(size + manifest.files[manifest.language.token_embeddings].size) / 1e6:.2f}"
    yield from (f"{entry.mean_kl:.4f}", f"{entry.p99_kl:.4f}", f"{entry.top1_agreement:.2%}")
    yield from (f"{score or 0:.3f}" for score in (entry.cider, entry.bleu_4, entry.rouge_l))


def _speeds(trials: Trials, folder: Path, rounds: int = 15) -> None:
    """Measure ms a token of every variant; round by round, each has its turn."""
    rows = MarkdownTable(("precision", "block", "rounding", "ms a token, 1 thread", "2 threads"))
    graphs = [folder / str(number) / f"{DECODER}.onnx" for number in range(len(VARIANTS))]
    language, columns = trials.bundle.manifest.language, []
    for threads in THREADS:
        decodings = [
            Decoding(graph, language, trials.check.chain.embeddings, threads) for graph in graphs
        ]
        times = [[milliseconds_a_token(one) for one in decodings] for _ in range(rounds)]
        columns.append(np.median(times[1:], axis=0))
    for variant, *each in zip(VARIANTS, *columns, strict=True):
        rows.add((*_names(variant), *(f"{value:.2f}" for value in each)))
    rows.publish("language-speeds", measured_here())


if __name__ == "__main__":
    app()
