"""The options of `ft-export`, by what they are about."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ftsdk.cli.console import bundle_name
from ftsdk.trust import BundleName

CALIBRATION_PICTURES = 32


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


# What is exported, and where to.

Source = Annotated[
    BundleName,
    typer.Argument(
        parser=bundle_name,
        metavar="WEIGHTS_OR_BUNDLE",
        help="The folder that the download script made, or a bundle to lower, build engines "
        "for, sign or serve (nano: the one in the package).",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="The bundle directory to write; needed unless a bundle stays."),
]
ArchitectureName = Annotated[
    str | None,
    typer.Option(
        help="xl, base, or a JSON file with the dimensions. [default: the weights folder's own "
        "architecture.json, else xl]"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the gate as JSON.")]

# How the language model is stored, and its text judged.

Language = Annotated[LanguageForm, typer.Option(help="Precision of the language model's matrices.")]
BlockSize = Annotated[
    int, typer.Option(help="Rows of a matrix that share an int4 scale: 32 or 64.")
]
Rounding = Annotated[
    RoundingChoice | None,
    typer.Option(
        help="How int4 codes are chosen: gptq observes the model on reports, clipped and "
        "nearest need none. \\[default: gptq where there are reports, clipped elsewhere]"
    ),
]
Reports = Annotated[
    Path | None,
    typer.Option(
        help="For GPTQ and the text gate, in place of WEIGHTS/reports.npz; "
        "`python -m ft_calibration.reports` writes them."
    ),
]
WaiveTextGate = Annotated[
    bool, typer.Option("--waive-text-gate", help="For random weights, whose text is noise.")
]

# How the encoders are lowered, and their masks judged.

Encoders = Annotated[
    EncoderForm,
    typer.Option(
        help="Precision of every stage but the language decoder: int8 for a CPU, float16 or "
        "int8-float16 (what is not INT8 is float16) for a GPU."
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        help="Typical pictures, or a data set of ft-forge, to lower --encoders on and judge "
        f"them by; {CALIBRATION_PICTURES} are used."
    ),
]
CalibrationRule = Annotated[
    Rule, typer.Option("--calibration-rule", help="How INT8 ranges are cut.")
]
Ranges = Annotated[
    Path | None,
    typer.Option(help="Ranges of an earlier export of this model on these pictures."),
]
OnlyFaster = Annotated[
    bool,
    typer.Option("--only-faster", help="Keep a stage as it is where that is faster here."),
]
WaiveEncoderGate = Annotated[
    bool,
    typer.Option("--waive-encoder-gate", help="For random weights, whose masks mean nothing."),
]

# What is made of a bundle.

Engines = Annotated[
    str,
    typer.Option(
        metavar="GPU[,GPU]",
        help="Build TensorRT engines beside the bundle: sm_86, sm_89, sm_120 (TensorRT-RTX, "
        "on any machine), or 'this' for the GPU that is here.",
    ),
]
Triton = Annotated[
    Path | None,
    typer.Option(
        metavar="REPOSITORY",
        help="Write the bundle as a model of Triton's Python back end into a model repository.",
    ),
]
Sign = Annotated[
    Path | None,
    typer.Option(metavar="KEY.pem", help="Sign the bundle with an Ed25519 private key."),
]
