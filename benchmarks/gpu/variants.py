"""A bundle in the precisions that GPUs are checked in, made without data beyond a few pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ftsdk.bundle import Bundle, open_bundle
from ftsdk.manifest import Precision

#: By name: the language model's stages that are rewritten, to what, and whether encoders follow.
VARIANTS: dict[str, tuple[tuple[str, ...], Precision, bool]] = {
    "float16": (("language_decoder",), "float16", True),
    "int4": (("language_encoder", "language_decoder"), "int4", False),
}


def make_variant(bundle: Bundle, name: str, out: Path, pictures: Sequence[Path]) -> None:
    """Write `bundle`, which is float32, at `out` in another precision.

    Args:
        bundle: a verified bundle.
        name: one of VARIANTS.
        out: the directory to make.
        pictures: what float16 encoders are observed and judged on.
    """
    from ft_export.precision.encoders import EncoderPrecision, lower_encoders

    stages, precision, encoders = VARIANTS[name]
    if not encoders:
        rewrite_language(bundle, out, stages, precision)
        return
    half = out.with_name(f"{out.name}.half")
    rewrite_language(bundle, half, stages, precision)
    lower_encoders(open_bundle(half), out, EncoderPrecision("float16"), pictures, lambda *_: None)


def rewrite_language(
    bundle: Bundle, out: Path, stages: Sequence[str], precision: Precision
) -> None:
    """Write `bundle` at `out` with some language stages in another precision; no gate is held."""
    from ft_export.bundle.writer import hash_files, write_manifest
    from ft_export.graph.files import load_graph, remove_graph, save_graph
    from ft_export.precision.language import LanguagePrecision, lower_language

    link_bundle(bundle, out)
    entries = dict(bundle.manifest.stages)
    for stage in stages:
        graph = entries[stage].graph
        model = load_graph(bundle.file(graph))
        lower_language(model, LanguagePrecision(precision))
        remove_graph(out / graph)
        save_graph(model, out / graph)
        entries[stage] = replace(entries[stage], precision=precision)
    write_manifest(out, replace(bundle.manifest, stages=entries, files=hash_files(out)))


def link_bundle(bundle: Bundle, out: Path) -> Path:
    """Give a bundle's files second names under `out`, where no engines lie beside it."""
    from ft_export.graph.observe import link_or_copy
    from ftsdk.bundle import MANIFEST_NAME

    for name in (MANIFEST_NAME, *bundle.manifest.files):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(bundle.file(name), out / name)
    return out
