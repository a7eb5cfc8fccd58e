"""`ft-export`: published weights to a bundle, and a bundle to lower precision."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from ft_export import options
from ft_export.showing import Show
from ft_export.summary import show_bundle
from ft_export.tensorrt.command import show_engines
from ft_export.triton.command import show_model
from ftsdk.bundle import MANIFEST_NAME, Bundle, open_bundle
from ftsdk.cli.console import VersionOption, bars
from ftsdk.cli.terminal import exit_on_error
from ftsdk.errors import OptionError
from ftsdk.manifest import Precision, Rounding
from ftsdk.signature import sign_bundle
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ft_export.precision.encoders import EncoderPrecision

_EXAMPLE = "Example: ft-export model_parameter/ --architecture xl --out xl.bundle"


_STEPS = ("loading", "reference", "exporting", "gate")
_LOWERING_STEPS = ("reference", "observing", "lowering", "chain")

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def export(
    source: options.Source,
    out_path: options.Out = None,
    architecture: options.ArchitectureName = None,
    language: options.Language = options.LanguageForm.INT4,
    block_size: options.BlockSize = 32,
    rounding: options.Rounding = None,
    reports: options.Reports = None,
    waive_text_gate: options.WaiveTextGate = False,
    encoders: options.Encoders = options.EncoderForm.FLOAT32,
    calibration: options.Calibration = None,
    rule: options.CalibrationRule = options.Rule.MINMAX,
    ranges: options.Ranges = None,
    only_faster: options.OnlyFaster = False,
    waive_encoder_gate: options.WaiveEncoderGate = False,
    engines: options.Engines = "",
    triton: options.Triton = None,
    sign: options.Sign = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    _version: VersionOption = False,
) -> None:
    """Turn published weights into a bundle, or lower the precision of a bundle.

    Every exported stage is held against float32, and a lowered language model's text too; a
    difference over the gate leaves no bundle. An export that was killed goes on where it was.
    """
    with exit_on_error():
        stored = _Stored(language.value, block_size, rounding.value if rounding else None)
        make = partial(_export, source.folder, architecture, stored, reports, waive_text_gate)
        if encoders is options.EncoderForm.FLOAT32:
            lowering = None
        else:
            lowering = _Lowering(encoders, rule, ranges, only_faster, waive_encoder_gate)
        if out_path:
            bundle = _written(source, make, lowering, calibration, out_path, overwrite)
        elif (engines or sign or triton) and _is_bundle(source.folder) and not lowering:
            bundle = open_bundle(source)
        else:
            raise _no_out()
        if sign:
            sign_bundle(bundle.path, bundle.sha256, sign)
        if engines:
            show_engines(bundle, engines.split(","), as_json)
        if triton:
            show_model(bundle, triton, as_json)
    if not (engines or (triton and out_path is None)):
        show_bundle(bundle, as_json)


@dataclass(frozen=True)
class _Stored:
    """How the language model's matrices are to be stored; None: the rounding that suits."""

    precision: Precision
    block_size: int
    rounding: Rounding | None


@dataclass(frozen=True)
class _Lowering:
    """How the encoders are to be lowered."""

    encoders: options.EncoderForm
    rule: options.Rule
    ranges: Path | None
    only_faster: bool
    waived: bool

    def precision(self) -> EncoderPrecision:
        """Return the same with the ranges read."""
        from ft_calibration.ranges import read_ranges
        from ft_export.precision.encoders import EncoderPrecision

        known = read_ranges(self.ranges) if self.ranges else None
        return EncoderPrecision(
            self.encoders.value,  # type: ignore[arg-type]
            known.rule if known else self.rule.value,
            known,
            self.only_faster,
            self.waived,
        )


def _no_out() -> OptionError:
    return OptionError(
        "there is nowhere to write the bundle",
        expected="--out DIR",
        found="no --out",
        cure="pass --out DIR; only --engines, --sign and --triton of a bundle need none",
    )


def _written(
    source: BundleName,
    make: Callable[[Path, bool], Bundle],
    lowering: _Lowering | None,
    calibration: Path | None,
    target: Path,
    overwrite: bool,
) -> Bundle:
    """Write a bundle at `target`: as it is exported, or lowered."""
    if lowering is None:
        return make(target, overwrite)
    chosen = lowering.precision()
    with _whole(source, make, target) as whole:
        return _lower(whole, target, chosen, calibration, overwrite)


def _export(
    weights: Path,
    architecture: str | None,
    stored: _Stored,
    reports: Path | None,
    waived: bool,
    target: Path,
    overwrite: bool,
) -> Bundle:
    from ft_export.exporter import ExportOptions, export_bundle
    from ft_export.model.architecture import architecture_of
    from ft_export.plan import plan_export
    from ft_export.precision.language import LanguagePrecision

    if _is_bundle(weights):
        raise OptionError(
            f"{weights} is a bundle already",
            expected="what to do with it",
            found="neither --encoders nor --engines",
            cure="pass --encoders int8 to lower it, or --engines sm_89 without --out",
        )
    plan = plan_export(weights, architecture_of(weights, architecture), _bundle_name(target))
    plan = replace(plan, reports=reports or plan.reports)
    rounding = stored.rounding or ("gptq" if plan.reports else "clipped")
    precision = LanguagePrecision(stored.precision, stored.block_size, rounding)
    with _progress(len(plan.stages) * len(_STEPS) + 1) as show:
        return export_bundle(plan, target, show, ExportOptions(precision, waived, overwrite))


@contextmanager
def _whole(
    source: BundleName, make: Callable[[Path, bool], Bundle], target: Path
) -> Iterator[Bundle]:
    """Yield a bundle with float32 encoders: `source`, or what `make` makes beside `target`."""
    if _is_bundle(source.folder):
        yield open_bundle(source)
        return
    # Always at the same place, where an export that was killed is found again.
    whole = target.with_name(f".{target.name}.float32")
    try:
        yield make(whole, True)
    finally:
        shutil.rmtree(whole, ignore_errors=True)


def _lower(
    bundle: Bundle,
    target: Path,
    chosen: EncoderPrecision,
    calibration: Path | None,
    overwrite: bool,
) -> Bundle:
    from ft_calibration.ranges import calibration_pictures
    from ft_export.precision.encoders import ENCODERS, lower_encoders

    if calibration is None:
        raise OptionError(
            "there are no pictures to lower the precision on",
            expected="--calibration PICTURES",
            found="none",
            cure="pass a folder of typical pictures, or a data set that ft-forge wrote",
        )
    pictures = calibration_pictures(calibration, options.CALIBRATION_PICTURES)
    with _progress(len(ENCODERS) * len(_LOWERING_STEPS)) as show:
        return lower_encoders(bundle, target, chosen, pictures, show, overwrite)


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST_NAME).is_file()


def _bundle_name(path: Path) -> str:
    return re.sub(r"\.bundle$", "", path.name)


@contextmanager
def _progress(steps: int) -> Iterator[Show]:
    """Show a bar of `steps`, and yield what moves it on by a stage's step."""
    columns = TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn()
    with bars(*columns) as progress:
        task = progress.add_task("", total=steps)

        def show(stage: str, step: str) -> None:
            steps = len(_STEPS) if step == "kept" else 1
            progress.update(task, advance=steps, description=f"{stage}: {step}")

        yield show


def main() -> None:
    """Run the command; what torch's compiler would leave in the temporary folder goes with it."""
    with TemporaryDirectory() as folder:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
        app()
