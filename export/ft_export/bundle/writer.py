"""The bundle's directory: reserved under a temporary name, hashed, and renamed into place."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ft_export.errors import DiskFullError
from ft_export.plan import ModelPlan
from ftsdk.bundle import MANIFEST_NAME, sha256_of
from ftsdk.consistency import FACE_DETECTOR, FACE_INPUT, FACE_OUTPUTS
from ftsdk.errors import OptionError
from ftsdk.files import sync, write_atomically
from ftsdk.manifest import (
    FileEntry,
    LanguageEntry,
    Manifest,
    StageEntry,
    TokenizerEntry,
    stage_graph,
)
from ftsdk.strict import parsed, written
from ftsdk.version import __version__


@dataclass(frozen=True)
class Reserved:
    """Where a bundle is built: its own directory, and one for what must outlive a kill."""

    bundle: Path
    journal: Path

    def clear(self) -> None:
        """Forget what an export that was killed has left here."""
        for folder in (self.bundle, self.journal):
            shutil.rmtree(folder, ignore_errors=True)
        self.bundle.mkdir()


@contextmanager
def reserve(out: Path, overwrite: bool) -> Iterator[Reserved]:
    """Yield directories beside `out`; the bundle's becomes `out` if nothing is raised.

    An error removes them. A kill leaves them, and the next reservation yields them again.

    Raises:
        OptionError: `out` exists and may not be replaced, nothing can be written there, or
            another export is writing it.
    """
    replaced = out.with_name(f".{out.name}.replaced")
    if replaced.exists() and not out.exists():  # killed between the two renames below
        replaced.rename(out)
    existing = out.exists()
    if existing and not (overwrite and (out / MANIFEST_NAME).is_file()):
        raise OptionError(
            f"{out} exists",
            expected="a path where nothing is, or a bundle and --overwrite",
            found="a bundle" if (out / MANIFEST_NAME).is_file() else "something else",
            cure="choose another --out, or pass --overwrite to replace a bundle",
        )
    partial = out.with_name(f".{out.name}.partial")
    with _locked(partial):
        try:
            (partial / "bundle").mkdir(exist_ok=True)
            yield Reserved(partial / "bundle", partial / "journal")
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise _disk_full(partial) from error
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        if existing:
            out.rename(replaced)
        (partial / "bundle").rename(out)
        sync(out.parent)
        for left in (partial, replaced):
            shutil.rmtree(left, ignore_errors=True)


def _disk_full(partial: Path) -> DiskFullError:
    free = shutil.disk_usage(partial.parent).free
    return DiskFullError(
        "the disk is full; no bundle was written and the temporary files were removed",
        expected=f"room for the bundle at {partial.parent}",
        found=f"{free / 1e9:.1f} GB free after the clean-up",
        cure="free some space, or choose an --out on another disk",
    )


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Make the directory and hold it against other exports; the system lets go after a kill."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise OptionError(
            f"nothing can be written in {partial.parent}",
            expected="a directory that may be written",
            found=error.strerror or type(error).__name__,
            cure="choose another --out",
        ) from error
    try:
        _lock(handle, partial)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, partial: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OptionError(
            f"another export is writing {partial}",
            expected="one export at a time",
            found="a lock that is held",
            cure="wait for it, or choose another --out",
        ) from error


def draft_manifest(plan: ModelPlan, folder: Path) -> Manifest:
    """Write what is no stage to export, and return the manifest as far as it is known."""
    _write_given_parts(plan, folder)
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
        language=_language_entry(plan),
        generation=plan.generation,
        score=plan.score,
        validity=plan.validity,
        stages={
            FACE_DETECTOR: StageEntry(
                graph=stage_graph(FACE_DETECTOR),
                precision="float32",
                inputs=(FACE_INPUT,),
                outputs=FACE_OUTPUTS,
            )
        },
        golden_picture="golden/picture.png",
        golden_tensors="golden/tensors.npz",
        gate=(),
        text_gate=None,
        dead_tensors=0,
        limits=plan.limits,
        files={},
    )


def _language_entry(plan: ModelPlan) -> LanguageEntry:
    return LanguageEntry(
        token_embeddings="language/token_embeddings.npy",
        layers=plan.language.decoder_layers,
        heads=plan.language.heads,
        d_kv=plan.language.d_kv,
        vocabulary=plan.language.vocabulary,
        several_faces=plan.framing == "face",
    )


def _write_given_parts(plan: ModelPlan, folder: Path) -> None:
    """Write the tokenizers, the token embeddings and the face detector, which no stage makes."""
    for name in ("graphs", "language", "golden"):
        (folder / name).mkdir(exist_ok=True)
    plan.language_tokenizer.save(str(folder / "language/tokenizer.json"))
    if plan.qformer_tokenizer:
        plan.qformer_tokenizer.save(str(folder / "language/qformer_tokenizer.json"))
    shutil.copyfile(plan.face_detector, folder / stage_graph(FACE_DETECTOR))
    table = plan.token_embeddings()
    np.save(folder / "language/token_embeddings.npy", table.view(torch.uint16).numpy())


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """Sync every file of the bundle to disk and return its size and SHA-256."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST_NAME:
            sync(path)
            files[path.relative_to(folder).as_posix()] = _entry(path)
    return files


def hash_drafted(folder: Path, draft: Manifest) -> dict[str, FileEntry]:
    """Return size and SHA-256 of the files that `draft_manifest` wrote for the language model."""
    tokenizers = draft.language_tokenizer, draft.qformer_tokenizer
    names = [draft.language.token_embeddings, *(one.file for one in tokenizers if one)]
    return {name: _entry(folder / name) for name in names}


def _entry(path: Path) -> FileEntry:
    return FileEntry(size=path.stat().st_size, sha256=sha256_of(path))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; until then the directory is no bundle.

    Raises:
        StrictError: a field is not what a manifest takes, as a gate that is no number.
    """
    content = written(manifest, indent=1)
    parsed(Manifest, content)
    write_atomically(folder / MANIFEST_NAME, content + b"\n")
