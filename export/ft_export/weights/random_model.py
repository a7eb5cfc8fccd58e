"""Random weights in the published layout and sizes, to try the whole journey offline.

`python -m ft_export.weights.random_model --architecture xl --out DIR` writes the folder that a
download would leave; the texts of such a model mean nothing, its times and memory do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn

from ft_export.errors import ArchitectureError
from ft_export.model.architecture import (
    ForgeryTalkerArchitecture,
    NanoArchitecture,
    load_architecture,
)
from ft_export.model.forgery_prompter import ForgeryPrompter
from ft_export.model.language import LanguageDecoder, LanguageDims, LanguageEncoder
from ft_export.model.mask_decoder import MaskDecoder
from ft_export.model.qformer import QFormer
from ft_export.model.vision_encoder import VisionEncoder
from ft_export.plan import PUBLISHED_PROMPT
from ft_export.weights import language_folder
from ft_export.weights import published as weights
from ft_export.weights.tensors import read_tensors
from ftsdk.cli.console import err
from ftsdk.cli.terminal import exit_on_error

#: Flan-T5 in its two published sizes.
LANGUAGE_DIMS = {
    "xl": LanguageDims(2048, 64, 5120, 32, 24, 24, 32128, 32, 128, 1e-6),
    "base": LanguageDims(768, 64, 2048, 12, 12, 12, 32128, 32, 128, 1e-6),
}
_SHARD_ELEMENTS = 1 << 29
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Shapes = dict[str, Tensor]


@dataclass(frozen=True)
class RandomModel:
    """What to write: the architecture, the language model's size, and how text is cut."""

    architecture: ForgeryTalkerArchitecture
    language: LanguageDims
    vocabulary: int = 30523
    positions: int = 512
    seed: int = 0


def write_weights(model: RandomModel, out: Path, progress: Callable[[str], None]) -> None:
    """Write the published layout below `out`, one file at a time; `progress` gets their names.

    As in a download, a file's tensors lie under the names that it has there, and nothing else.
    """
    generator = torch.Generator().manual_seed(model.seed)
    folder = model.architecture.language_model.folder or "flant5xl"
    for file, (tensors, dtype) in _files(model, folder).items():
        progress(file)
        path = out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        state = _fill(tensors, generator, dtype)
        if path.suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save({"model": state} if path.suffix == ".pth" else state, path)
    _write_index(out / folder)
    config = json.dumps(language_folder.config_of(model.language))
    (out / folder / "config.json").write_text(config, encoding="utf-8")
    _write_tokenizers(model, out / folder, out / "bert-base-uncased")


def _write_index(folder: Path) -> None:
    """Write which shard holds which tensor, as Transformers looks for it."""
    shards = sorted(folder.glob("model-*.safetensors"))
    placed = {name: shard.name for shard in shards for name in read_tensors(shard)}
    size = sum(shard.stat().st_size for shard in shards)
    index = {"metadata": {"total_size": size}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _files(model: RandomModel, folder: str) -> dict[str, tuple[Shapes, torch.dtype]]:
    """Return what each file holds, as tensors on the meta device, and in which precision."""
    architecture, dims = model.architecture, model.language
    with torch.device("meta"):
        vision = _named(VisionEncoder(architecture), weights.vision_name)
        prompter = _named(ForgeryPrompter(architecture), weights.prompter_name)
        mask_decoder = _named(MaskDecoder(architecture, dims.d_model), weights.mask_name)
        qformer = QFormer(architecture, model.vocabulary, model.positions)
        encoder = LanguageEncoder(dims, architecture.qformer.width)
        language = _named(encoder, language_folder.encoder_name)
        language |= _named(LanguageDecoder(dims), language_folder.decoder_name)
        language[f"{language_folder.PREFIX}shared.weight"] = torch.empty(
            dims.vocabulary, dims.d_model
        )
    bridge = _named(qformer, weights.qformer_name) | _below(vision, "ln_vision.", keep=True)
    bridge |= _below(language, "t5_proj.", keep=True)
    fpn = "ViT-H_14-add_cnn_branch/Fakeface-ViT-H_14-add_cnn_branch_checkpoint.bin"
    files = {
        "eva_vit_g.pth": (_below(vision, weights.VISION), torch.float16),
        "instruct_blip_flanxl_trimmed.pth": (bridge, torch.float32),
        fpn: (_below(prompter, weights.PROMPTER), torch.float32),
        "2111_checkpoint_best.pth": (mask_decoder, torch.float32),
    }
    for number, shard in enumerate(_shards(_below(language, language_folder.PREFIX)), start=1):
        files[f"{folder}/model-{number:05d}.safetensors"] = shard, torch.bfloat16
    return files


def _named(module: nn.Module, rename: Callable[[str], str]) -> Shapes:
    return {rename(name): value for name, value in module.state_dict().items()}


def _below(tensors: Shapes, prefix: str, keep: bool = False) -> Shapes:
    """Return the tensors below `prefix`, without it unless `keep`."""
    cut = 0 if keep else len(prefix)
    return {name[cut:]: value for name, value in tensors.items() if name.startswith(prefix)}


def _shards(tensors: Shapes) -> Iterator[Shapes]:
    shard: Shapes = {}
    for name, value in tensors.items():
        if shard and sum(map(Tensor.numel, shard.values())) + value.numel() > _SHARD_ELEMENTS:
            yield shard
            shard = {}
        shard[name] = value
    yield shard


def _fill(tensors: Shapes, generator: torch.Generator, dtype: torch.dtype) -> Shapes:
    return {
        name: torch.zeros((), dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else _random(name, value.shape, generator).to(dtype)
        for name, value in tensors.items()
    }


#: T5 does not divide its attention's scores by the square root of a head's width: its queries are
#: as much smaller (Raffel et al. 2020). Larger ones make each layer amplify the smallest rounding.
_HEAD_WIDTH = 64


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Return values that keep activations of order one through any depth."""
    noise = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 1 + 0.1 * noise.abs()
    if "norm" in name.lower() and name.endswith("weight") and len(shape) == 1:
        return 1 + 0.1 * noise
    if len(shape) < 2 or "embed" in name or "token" in name:
        return 0.02 * noise
    scaled = noise / math.sqrt(math.prod(shape[1:]))
    return scaled / math.sqrt(_HEAD_WIDTH) if name.endswith("Attention.q.weight") else scaled


def _write_tokenizers(model: RandomModel, t5: Path, bert: Path) -> None:
    """Write vocabularies that hold the prompt's words, so that it has a realistic length."""
    text = PUBLISHED_PROMPT.with_regions.replace("{regions}", "").lower()
    words = sorted({*text.replace(",", " ").replace(".", " ").replace(":", " ").split(),
                    *model.architecture.labels, ",", ".", ":"})  # fmt: skip
    bert.mkdir(exist_ok=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*_BERT_SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters)]
    filler = (f"[unused{number}]" for number in range(model.vocabulary))
    pieces = list(dict.fromkeys(pieces))
    pieces += [next(filler) for _ in range(model.vocabulary - 1 - len(pieces))]
    (bert / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    _t5_tokenizer(words, letters, model.language.vocabulary).save(str(t5 / "tokenizer.json"))


def _t5_tokenizer(words: list[str], letters: list[str], vocabulary: int) -> Tokenizer:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -100.0), ("▁", -6.0)]
    known = [f"▁{word}" for word in words] + [f"▁{word.capitalize()}" for word in words]
    symbols = [*letters, *(letter.upper() for letter in letters), *",.:"]
    for piece, score in ((known, -3.0), (symbols, -8.0)):
        pieces += [(value, score) for value in dict.fromkeys(piece)]
    pieces = list(dict(pieces).items())
    pieces += [(f"▁w{number}", -20.0) for number in range(vocabulary - len(pieces))]
    tokenizer = Tokenizer(models.Unigram(pieces[:vocabulary], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token) for token in ("<pad>", "</s>", "<unk>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return tokenizer


def main(
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    architecture: Annotated[str, typer.Option(help="xl or base.")] = "xl",
    seed: Annotated[int, typer.Option(help="Makes the weights repeatable.")] = 0,
) -> None:
    """Write random weights in the published layout and sizes.

    Example: python -m ft_export.weights.random_model --architecture xl --out rehearsal/
    """
    with exit_on_error():
        described = load_architecture(architecture)
        if architecture not in LANGUAGE_DIMS or isinstance(described, NanoArchitecture):
            raise ArchitectureError(
                "only the published sizes are known by name",
                expected=" or ".join(LANGUAGE_DIMS),
                found=architecture,
                cure="pass --architecture xl",
            )
        model = RandomModel(described, LANGUAGE_DIMS[architecture], seed=seed)
        write_weights(model, out, lambda file: err.print(f"writing {out / file}"))


if __name__ == "__main__":
    typer.run(main)
