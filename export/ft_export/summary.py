"""What `ft-export` says at its end: what the gates measured of the bundle."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.table import Table

from ftsdk.bundle import Bundle
from ftsdk.cli.console import out
from ftsdk.manifest import Manifest, TextGateEntry

#: What --json prints of the manifest.
_SHOWN = ("name", "gate", "text_gate", "encoder_gate", "dead_tensors", "stages")


def show_bundle(bundle: Bundle, as_json: bool) -> None:
    """Print what the gates measured of a bundle, as tables or as JSON."""
    manifest = bundle.manifest
    if as_json:
        facts = asdict(manifest)
        typer.echo(json.dumps({name: facts[name] for name in _SHOWN}))
        return
    table = Table("stage", "tensor", "max abs", "relative", title="difference to float32")
    for entry in manifest.gate:
        numbers = f"{entry.max_absolute:.1e}", f"{entry.relative:.1e}"
        table.add_row(entry.stage, entry.tensor, *numbers)
    out.print(table)
    _show_encoders(manifest)
    _show_text(manifest.text_gate)
    size = sum(entry.size for entry in manifest.files.values())
    out.print(
        f"{bundle.path}: {size / 1e6:.1f} MB, {len(manifest.files)} files, "
        f"{manifest.dead_tensors} tensors of the weights are not needed and were left out",
        soft_wrap=True,
    )


def _show_encoders(manifest: Manifest) -> None:
    gate = manifest.encoder_gate
    if gate is None:
        return
    out.print(
        f"masks against float32 on {gate.pictures} pictures: mean IoU {gate.mean_mask_iou:.3f}, "
        f"least {gate.min_mask_iou:.3f}; regions agree in {gate.region_agreement:.1%}",
        soft_wrap=True,
    )
    for stage, layers in gate.kept_layers.items():
        precision = manifest.stages[stage].precision
        lowered = precision in ("int8", "float16")
        spared = f"spares {', '.join(layers)}" if lowered else "passed its gate in no lower one"
        out.print(f"{stage} is {precision} and {spared}", soft_wrap=True)


def _show_text(gate: TextGateEntry | None) -> None:
    if gate is None:
        return
    texts = "" if gate.cider is None else f"; CIDEr {gate.cider:.2f} of the free texts"
    out.print(
        f"text against float32 on {gate.reports} reports, {gate.tokens} tokens: mean KL "
        f"{gate.mean_kl:.4f}, 99th percentile {gate.p99_kl:.4f}, the same first choice for "
        f"{gate.top1_agreement:.1%}{texts}{' (gate waived)' if gate.waived else ''}",
        soft_wrap=True,
    )
