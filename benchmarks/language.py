"""The language model's speed and fidelity, each as a ratio in one run on one machine.

    python benchmarks/language.py precisions training/nano
    python benchmarks/language.py decode nano.bundle training/nano/language
    python benchmarks/language.py size-of-smollm2

Each command prints its table and writes it into docs/benchmarks.md. Run them on an idle machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from products import products_alone
from rich.console import Console
from rich.markdown import Markdown
from sections import replace_section

from ft_export.architecture import load_architecture
from ft_export.exporter import ExportOptions, export_bundle
from ft_export.language_4bit import LanguagePrecision
from ft_export.plan import plan_export
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
THREADS = (1, 2)
TOKENS = 30
#: Encoder positions: 32 soft tokens and a prompt of the published length.
SOURCE = 96
VARIANTS = (
    LanguagePrecision("float32"),
    LanguagePrecision("float16"),
    LanguagePrecision("nf4"),
    *(
        LanguagePrecision("int4", block, rounding)  # type: ignore[arg-type]
        for block in (32, 64)
        for rounding in ("nearest", "clipped", "gptq")
    ),
)

app = typer.Typer(add_completion=False, help=__doc__)


class Decoding:
    """A bundle's decoder over random encoder tensors: speed does not depend on their values."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self.entry = bundle.manifest.language
        graph = bundle.file(bundle.manifest.stages["language_decoder"].graph)
        self.engine = OnnxRuntimeEngine(graph, "cpu", threads)
        self.embeddings = TokenEmbeddings(bundle.file(self.entry.token_embeddings))
        random = np.random.default_rng(0)
        heads, d_kv = self.entry.heads, self.entry.d_kv
        shapes = {"key": (1, heads, d_kv, SOURCE), "value": (1, heads, SOURCE, d_kv)}
        self.memory = {
            f"past_key_values.{layer}.encoder.{part}": random.normal(size=shape).astype(np.float32)
            for layer in range(self.entry.layers)
            for part, shape in shapes.items()
        }

    def write(self, beams: int) -> None:
        """Decode TOKENS tokens; an end is not allowed before."""
        options = Language(beams=beams, max_new_tokens=TOKENS, min_length=TOKENS + 1)
        decoder = StepDecoder(self.engine, self.embeddings, self.entry, self.memory, beams, TOKENS)
        assert len(list(generate(decoder, options))) >= TOKENS


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of `call` in ms, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def per_token(bundle: Bundle, threads: int, beams: int = 1, repeats: int = 9) -> float:
    """Return ms a token of the whole loop."""
    decoding = Decoding(bundle, threads)
    return median_ms(lambda: decoding.write(beams), repeats) / TOKENS


@app.command()
def precisions(
    weights: Annotated[Path, typer.Argument(help="Weights with a reports.npz, as training/nano.")],
) -> None:
    """Export every precision and rounding, and measure bytes, speed and what the gate says."""
    head = ("precision", "block", "rounding", "language MB", "ms/token, 1 / 2 threads")
    gate = ("mean KL", "p99 KL", "same first choice", "CIDEr", "BLEU-4", "ROUGE-L")
    rows = [_row((*head, *gate)), _row(["---"] * (len(head) + len(gate)))]
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS:
            bundle = _export(weights, variant, Path(folder) / "variant.bundle")
            rows.append(_row(_variant_cells(bundle, variant)))
            Console().print(rows[-1])
    _publish("language-precisions", "\n".join(rows))


def _export(weights: Path, variant: LanguagePrecision, out: Path) -> Bundle:
    plan = plan_export(weights, load_architecture(str(weights / "architecture.json")), "variant")
    options = ExportOptions(variant, waive_text_gate=True, overwrite=True)
    return export_bundle(plan, out, lambda *_: None, options)


def _variant_cells(bundle: Bundle, variant: LanguagePrecision) -> Iterator[str]:
    manifest, gate = bundle.manifest, bundle.manifest.text_gate
    four_bits = variant.precision == "int4"
    yield variant.precision
    yield str(variant.block) if four_bits else ""
    yield variant.rounding if four_bits else ""
    yield f"{language_bytes(bundle) / 1e6:.2f}"
    yield " / ".join(f"{per_token(bundle, threads):.2f}" for threads in THREADS)
    if manifest.text_gate is None or gate is None:
        yield from ("0", "0", "100 %", "10", "1", "1")
        return
    yield from (f"{gate.mean_kl:.4f}", f"{gate.p99_kl:.4f}", f"{gate.top1_agreement:.2%}")
    yield from (f"{score or 0:.3f}" for score in (gate.cider, gate.bleu_4, gate.rouge_l))


def language_bytes(bundle: Bundle) -> int:
    """Return the size on disk of both language stages and the token embeddings."""
    manifest = bundle.manifest
    graphs = [manifest.stages[f"language_{part}"].graph for part in ("encoder", "decoder")]
    names = (*graphs, *(f"{graph}.data" for graph in graphs), manifest.language.token_embeddings)
    return sum(manifest.files[name].size for name in names if name in manifest.files)


@app.command()
def decode(
    bundle_path: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    language_folder: Annotated[Path, typer.Argument(help="The T5 folder that it was made of.")],
    repeats: Annotated[int, typer.Option(help="Runs of each measurement.")] = 9,
    peer: Annotated[bool, typer.Option(help="Measure Transformers too.")] = True,
) -> None:
    """Time a token of the loop against its matrix products alone, five beams, and Transformers."""
    bundle = open_bundle(bundle_path)
    rows = [_row(("what", "1 thread", "2 threads")), _row(["---"] * 3)]
    before = psutil.Process().memory_info().rss
    ours = [per_token(bundle, threads, repeats=repeats) for threads in THREADS]
    resident = psutil.Process().memory_info().rss - before
    rows.append(_row(("ftsdk greedy, ms a token", *_numbers(ours))))
    graph = bundle.file(bundle.manifest.stages["language_decoder"].graph)
    alone = [median_ms(products_alone(graph, threads), 3 * repeats) for threads in THREADS]
    rows.append(_row(("its matrix products alone, ms", *_numbers(alone))))
    rows.append(_row(("ratio", *_ratios(ours, alone))))
    five = [per_token(bundle, threads, beams=5, repeats=repeats) for threads in THREADS]
    rows.append(_row(("ftsdk, five beams, ms a token", *_numbers(five))))
    rows.append(_row(("ratio to one beam", *_ratios(five, ours))))
    if peer:
        theirs = [transformers_ms(language_folder, threads, repeats) for threads in THREADS]
        rows.append(
            _row((f"Transformers `generate` ({PEER_DTYPE}), ms a token", *_numbers(theirs)))
        )
        rows.append(_row(("times faster", *_ratios(theirs, ours))))
    note = (
        f"{bundle.manifest.name}: {bundle.manifest.precision}; "
        f"{language_bytes(bundle) / 1e6:.1f} MB of language model on disk; the two decoders "
        f"that were opened for this left "
        f"{resident / 2**20:.0f} MiB resident. {TOKENS} tokens, {SOURCE} encoder positions."
    )
    _publish(f"decode-{bundle.manifest.name}", f"{note}\n\n" + "\n".join(rows))


PEER_DTYPE = "bfloat16"


def transformers_ms(folder: Path, threads: int, repeats: int) -> float:
    """Return ms a token of `generate` in Transformers over the same weights, encoder left out."""
    import torch
    from transformers import T5ForConditionalGeneration
    from transformers.modeling_outputs import BaseModelOutput

    torch.set_num_threads(threads)
    model: Any = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16).eval()
    encoded = torch.randn(1, SOURCE, model.config.d_model, dtype=torch.bfloat16)

    def write() -> None:
        with torch.inference_mode():
            model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded), do_sample=False,
                num_beams=1, max_new_tokens=TOKENS, min_new_tokens=TOKENS,
            )  # fmt: skip

    return median_ms(write, min(repeats, 5)) / TOKENS


def _numbers(values: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _ratios(values: list[float], others: list[float]) -> list[str]:
    return [f"{value / other:.2f}" for value, other in zip(values, others, strict=True)]


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _publish(section: str, markdown: str) -> None:
    Console().print(Markdown(markdown))
    replace_section(DOCUMENT, section, markdown)


if __name__ == "__main__":
    app()
