"""`ft-export`: published weights to a bundle, and a bundle to lower precision."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ft_export.showing import Show
from ft_export.summary import show_bundle
from ft_export.tensorrt.command import show_engines
from ft_export.triton.command import show_model
from ftsdk.bundle import MANIFEST_NAME, Bundle, open_bundle
from ftsdk.cli.console import bundle_name, err
from ftsdk.cli.terminal import exit_on_error
from ftsdk.errors import OptionError
from ftsdk.manifest import Precision, Rounding
from ftsdk.signature import sign_bundle
from ftsdk.trust import BundleName

if TYPE_CHECKING:
    from ft_export.precision.encoders import EncoderPrecision

_EXAMPLE = "Example: ft-export model_parameter/ --architecture xl --out xl.bundle"


class LanguageForm(StrEnum):
    """What `--language` takes: the manifest's words."""

    INT4 = "int4"
    NF4 = "nf4"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class RoundingChoice(StrEnum):
    """What `--rounding` takes."""

    GPTQ = "gptq"
    CLIPPED = "clipped"
    NEAREST = "nearest"


class EncoderForm(StrEnum):
    """What `--encoders` takes."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT8_FLOAT16 = "int8-float16"


class Rule(StrEnum):
    """How INT8 ranges are cut."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"


_STEPS = ("loading", "reference", "exporting", "gate")
_LOWERING_STEPS = ("reference", "observing", "lowering", "chain")
_CALIBRATION_PICTURES = 32

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(epilog=_EXAMPLE)
def export(
    source: Annotated[
        BundleName,
        typer.Argument(
            parser=bundle_name,
            metavar="WEIGHTS_OR_BUNDLE",
            help="The folder that the download script made, or a bundle to lower, build engines "
            "for, sign or serve (nano: the one in the package).",
        ),
    ],
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="The bundle directory to write; needed unless a bundle stays."),
    ] = None,
    architecture: Annotated[
        str, typer.Option(help="xl, base, or a JSON file with the dimensions.")
    ] = "xl",
    language: Annotated[
        LanguageForm, typer.Option(help="Precision of the language model's matrices.")
    ] = LanguageForm.INT4,
    block_size: Annotated[
        int, typer.Option(help="Rows of a matrix that share an int4 scale: 32 or 64.")
    ] = 32,
    rounding: Annotated[
        RoundingChoice | None,
        typer.Option(
            help="How int4 codes are chosen: gptq observes the model on reports, clipped and "
            "nearest need none. \\[default: gptq where there are reports, clipped elsewhere]"
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            help="For GPTQ and the text gate, in place of WEIGHTS/reports.npz; "
            "`python -m ft_calibration.reports` writes them."
        ),
    ] = None,
    waive_text_gate: Annotated[
        bool, typer.Option("--waive-text-gate", help="For random weights, whose text is noise.")
    ] = False,
    encoders: Annotated[
        EncoderForm,
        typer.Option(
            help="Precision of every stage but the language decoder: int8 for a CPU, float16 or "
            "int8-float16 (what is not INT8 is float16) for a GPU."
        ),
    ] = EncoderForm.FLOAT32,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Typical pictures, or a data set of ft-forge, to lower --encoders on and judge "
            f"them by; {_CALIBRATION_PICTURES} are used."
        ),
    ] = None,
    rule: Annotated[
        Rule, typer.Option("--calibration-rule", help="How INT8 ranges are cut.")
    ] = Rule.MINMAX,
    ranges: Annotated[
        Path | None,
        typer.Option(help="Ranges of an earlier export of this model on these pictures."),
    ] = None,
    only_faster: Annotated[
        bool,
        typer.Option("--only-faster", help="Keep a stage as it is where that is faster here."),
    ] = False,
    waive_encoder_gate: Annotated[
        bool,
        typer.Option("--waive-encoder-gate", help="For random weights, whose masks mean nothing."),
    ] = False,
    engines: Annotated[
        str,
        typer.Option(
            metavar="GPU[,GPU]",
            help="Build TensorRT engines beside the bundle: sm_86, sm_89, sm_120 (TensorRT-RTX, "
            "on any machine), or 'this' for the GPU that is here.",
        ),
    ] = "",
    triton: Annotated[
        Path | None,
        typer.Option(
            metavar="REPOSITORY",
            help="Write the bundle as a model of Triton's Python back end into a model repository.",
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY.pem", help="Sign the bundle with an Ed25519 private key."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gate as JSON.")] = False,
) -> None:
    """Turn published weights into a bundle, or lower the precision of a bundle.

    Every exported stage is held against float32, and a lowered language model's text too; a
    difference over the gate leaves no bundle. An export that was killed goes on where it was.
    """
    with exit_on_error():
        stored = _Stored(language.value, block_size, rounding.value if rounding else None)
        make = partial(_export, source.folder, architecture, stored, reports, waive_text_gate)
        as_it_is = encoders is EncoderForm.FLOAT32
        if (
            (engines or sign or triton)
            and out_path is None
            and _is_bundle(source.folder)
            and as_it_is
        ):
            bundle = open_bundle(source)
        elif out_path is None:
            raise _no_out()
        elif as_it_is:
            bundle = make(out_path, overwrite)
        else:
            chosen = _encoder_precision(encoders, rule, ranges, only_faster, waive_encoder_gate)
            with _whole(source, make, out_path) as whole:
                bundle = _lower(whole, out_path, chosen, calibration, overwrite)
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


def _no_out() -> OptionError:
    return OptionError(
        "there is nowhere to write the bundle",
        expected="--out DIR",
        found="no --out",
        cure="pass --out DIR; only --engines, --sign and --triton of a bundle need none",
    )


def _export(
    weights: Path,
    architecture: str,
    stored: _Stored,
    reports: Path | None,
    waived: bool,
    target: Path,
    overwrite: bool,
) -> Bundle:
    from ft_export.exporter import ExportOptions, export_bundle
    from ft_export.model.architecture import load_architecture
    from ft_export.plan import plan_export
    from ft_export.precision.language import LanguagePrecision

    if _is_bundle(weights):
        raise OptionError(
            f"{weights} is a bundle already",
            expected="what to do with it",
            found="neither --encoders nor --engines",
            cure="pass --encoders int8 to lower it, or --engines sm_89 without --out",
        )
    plan = plan_export(weights, load_architecture(architecture), _bundle_name(target))
    plan = replace(plan, reports=reports or plan.reports)
    rounding = stored.rounding or ("gptq" if plan.reports else "clipped")
    precision = LanguagePrecision(stored.precision, stored.block_size, rounding)
    options = ExportOptions(precision, waived, overwrite)
    with _progress(len(plan.stages) * len(_STEPS) + 1) as show:
        return export_bundle(plan, target, show, options)


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


def _encoder_precision(
    encoders: EncoderForm, rule: Rule, ranges: Path | None, only_faster: bool, waived: bool
) -> EncoderPrecision:
    from ft_calibration.ranges import read_ranges
    from ft_export.precision.encoders import EncoderPrecision

    known = read_ranges(ranges) if ranges else None
    return EncoderPrecision(
        encoders.value,  # type: ignore[arg-type]
        known.rule if known else rule.value,
        known,
        only_faster,
        waived,
    )


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
    pictures = calibration_pictures(calibration, _CALIBRATION_PICTURES)
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
    with Progress(*columns, console=err, transient=True) as progress:
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
