"""The bundle's directory: reserved under a temporary name, hashed, and renamed into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import numpy as np
import torch

from ft_export.plan import ModelPlan
from ftsdk.bundle import (
    MANIFEST_NAME,
    FileEntry,
    LanguageEntry,
    Manifest,
    TokenizerEntry,
    sha256_of,
)
from ftsdk.errors import OptionError
from ftsdk.imaging.files import write_atomically
from ftsdk.version import __version__


@contextmanager
def reserve(out: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary directory beside `out` that becomes `out` if nothing is raised.

    Raises:
        OptionError: `out` exists and may not be replaced, or nothing can be written there.
    """
    existing = out.exists()
    if existing and not (overwrite and (out / MANIFEST_NAME).is_file()):
        raise OptionError(
            f"{out} exists",
            expected="a path where nothing is, or a bundle and --overwrite",
            found="a bundle" if (out / MANIFEST_NAME).is_file() else "something else",
            cure="choose another --out, or pass --overwrite to replace a bundle",
        )
    _remove_leftovers(out)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    _make(partial)
    try:
        yield partial
        old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
        if existing:
            out.rename(old)
        partial.rename(out)
        _sync(out.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make(partial: Path) -> None:
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OptionError(
            f"nothing can be written in {partial.parent}",
            expected="a directory that may be written",
            found=error.strerror or type(error).__name__,
            cure="choose another --out",
        ) from error


def _remove_leftovers(out: Path) -> None:
    """Delete what an export that was killed left behind; one that still runs keeps its own."""
    for path in out.parent.glob(f".{escape(out.name)}.*-*"):
        owner = path.name.rpartition("-")[2]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(path, ignore_errors=True)


def draft_manifest(plan: ModelPlan, folder: Path) -> Manifest:
    """Write tokenizers and embeddings, and return the manifest as far as it is known."""
    for name in ("graphs", "language", "golden"):
        (folder / name).mkdir()
    plan.language_tokenizer.save(str(folder / "language/tokenizer.json"))
    if plan.qformer_tokenizer:
        plan.qformer_tokenizer.save(str(folder / "language/qformer_tokenizer.json"))
    table = plan.token_embeddings()
    np.save(folder / "language/token_embeddings.npy", table.view(torch.uint16).numpy())
    return Manifest(
        manifest_version=1,
        name=plan.name,
        created_by=f"ftsdk {__version__}, torch {torch.__version__}",
        licence=plan.licence,
        labels=plan.architecture.labels,
        region_threshold=plan.region_threshold,
        mask_threshold=plan.mask_threshold,
        mask_size=plan.architecture.mask_size,
        region_tokens=plan.region_tokens,
        framing=plan.framing,
        preprocessing=plan.preprocessing,
        prompt=plan.prompt,
        qformer_tokenizer=TokenizerEntry(
            file="language/qformer_tokenizer.json", max_tokens=plan.max_text_tokens
        )
        if plan.qformer_tokenizer
        else None,
        language_tokenizer=TokenizerEntry(
            file="language/tokenizer.json", max_tokens=plan.max_text_tokens
        ),
        language=LanguageEntry(
            token_embeddings="language/token_embeddings.npy",
            layers=plan.language.decoder_layers,
            heads=plan.language.heads,
            d_kv=plan.language.d_kv,
            vocabulary=plan.language.vocabulary,
        ),
        generation=plan.generation,
        score=plan.score,
        stages={},
        golden_picture="golden/picture.png",
        golden_tensors="golden/tensors.npz",
        gate=(),
        text_gate=None,
        dead_tensors=0,
        limits=plan.limits,
        files={},
    )


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """Sync every file of the bundle to disk and return its size and SHA-256."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _sync(path)
            entry = FileEntry(size=path.stat().st_size, sha256=sha256_of(path))
            files[path.relative_to(folder).as_posix()] = entry
    return files


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; until then the directory is no bundle."""
    write_atomically(folder / MANIFEST_NAME, manifest.model_dump_json(indent=1).encode() + b"\n")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
