"""The text by optimum's ONNX Runtime model, for `ft-bench --against optimum`."""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ft_export.model.architecture import architecture_of
from ft_export.plan import plan_export
from ft_export.reference import WholeReports, transformers_model
from ft_export.weights.language_folder import config_of
from ftsdk.analyzer import Analyzer
from ftsdk.bench.run import Rival
from ftsdk.engines.contract import Tensors
from ftsdk.errors import OptionError
from ftsdk.language.options import Language

#: Beside a checkout's other benchmarks, seen from its root.
FOLDER = Path("benchmarks", "optimum")
_STAGES = ("language_encoder", "language_decoder")


def optimum_rival(weights: Path, architecture: str | None, language_dtype: str) -> Rival:
    """Return the T5 as optimum exports and runs it, in a process of another environment.

    Its decoder writes the text from the encoder's output of ftsdk, whose other stages stay: an
    encoder of optimum's takes token ids alone, and this one sees tensors beside them.

    Raises:
        OptionError: the environment was not made, or another type than float32 is asked for.
        ExportError: a file or tensor is missing or wrong.
    """
    python = (FOLDER / ".venv" / "bin" / "python").absolute()
    if not python.exists() or language_dtype != "float32":
        raise OptionError(
            "optimum has an environment of its own, and runs float32",
            expected=f"{FOLDER / '.venv'} in the current directory, and --against-language float32",
            found=f"{language_dtype}, {'an' if python.exists() else 'no'} environment",
            cure="make optimum, in a checkout of ftsdk, and ft-bench from there",
        )
    plan = plan_export(weights, architecture_of(weights, architecture), "reference")
    folder = tempfile.TemporaryDirectory()
    modules = [stage.load() for stage in plan.stages if stage.name in _STAGES]
    model = transformers_model(plan.language, plan.token_embeddings().float(), *modules)
    model.encoder.embed_tokens.weight = model.shared.weight
    model.save_pretrained(folder.name)
    # This Transformers writes that the head is tied to the embeddings, which an older one believes.
    Path(folder.name, "config.json").write_text(json.dumps(config_of(plan.language)))
    worker = _Worker(python, folder)

    def prepare(analyzer: Analyzer) -> None:
        analyzer.chain.writer = _OptimumWriter(worker)

    name = f"{worker.ready} on ONNX Runtime, {torch.get_num_threads()} threads, float32"
    return Rival(name, prepare)


class _Worker:
    """The process, which ends with this object."""

    def __init__(self, python: Path, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._folder = folder
        command = (python, FOLDER / "worker.py", folder.name, str(torch.get_num_threads()))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, self._process.kill)
        self.ready: str = self._answer()["ready"]

    def ask(self, request: dict[str, Any], content: bytes) -> Any:
        """Return the answer to one request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n" + content)
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"optimum's process ended with {self._process.wait(60)}")
        return json.loads(line)


class _OptimumWriter(WholeReports):
    """A report by `generate` in the other process; its tokens come all at once."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def write(self, tensors: Tensors, language: Language) -> list[int]:
        encoded = np.ascontiguousarray(tensors["encoder_output"], np.float32)
        options = {
            "do_sample": False,
            "decoder_start_token_id": 0,
            "num_beams": language.beams,
            "max_new_tokens": language.max_new_tokens,
            "min_length": language.min_length,
            "repetition_penalty": language.repetition_penalty,
            "length_penalty": language.length_penalty,
        }
        request = {"shape": encoded.shape, "generate": options}
        ids: list[int] = self._worker.ask(request, encoded.tobytes())["ids"]
        return ids[1:]
