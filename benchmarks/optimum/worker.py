"""A T5 exported and run by optimum, for `ft-bench --against optimum`, in an environment of its own.

    .venv/bin/python worker.py FOLDER THREADS

FOLDER holds the model as Transformers writes it. Each request on standard input is a line of JSON,
`{"shape": [1, T, D], "generate": {...}}`, and the encoder's output [1, T, D] as float32 bytes; each
answer is a line of JSON, `{"ids": [...]}`. The first line says what is ready.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import

import numpy as np
import onnxruntime
import optimum.version
import torch
import transformers
from optimum.onnxruntime import ORTModelForSeq2SeqLM
from transformers.modeling_outputs import BaseModelOutput


def load(folder: str, threads: int) -> Any:
    """Export the model with optimum's defaults, and return it in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ORTModelForSeq2SeqLM.from_pretrained(
        folder, export=True, provider="CPUExecutionProvider", session_options=options
    )


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    model = load(sys.argv[1], int(sys.argv[2]))
    versions = f"optimum {optimum.version.__version__}, Transformers {transformers.__version__}"
    print(json.dumps({"ready": versions}), file=answers, flush=True)
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        size = 4 * math.prod(request["shape"])
        encoded = np.frombuffer(sys.stdin.buffer.read(size), np.float32)
        states = torch.from_numpy(encoded.reshape(request["shape"]).copy())
        ids = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=torch.ones(states.shape[:2], dtype=torch.int64),
            **request["generate"],
        )
        print(json.dumps({"ids": ids[0].tolist()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
