"""The report's language model: a small T5 and its own vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from ft_forge import LABELS
from ft_forge.words import all_sentences

PROMPT = {
    "with_regions": "Manipulated regions: {regions}. Report:",
    "without_regions": "Manipulated regions: none. Report:",
}
PAD, END, UNKNOWN = 0, 1, 2
LANGUAGE_WIDTH = 256
_CONFIG_KEYS = (
    "model_type", "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers",
    "num_heads", "relative_attention_num_buckets", "relative_attention_max_distance",
    "layer_norm_epsilon", "feed_forward_proj", "is_gated_act", "is_encoder_decoder",
    "decoder_start_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def prompt_for(names: list[str]) -> str:
    """Return the prompt for region `names` in index order."""
    if not names:
        return PROMPT["without_regions"]
    return PROMPT["with_regions"].format(regions=", ".join(names))


def _pieces() -> pre_tokenizers.Sequence:
    space = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    return pre_tokenizers.Sequence([space, pre_tokenizers.Split(Regex("[.,:]"), "isolated")])


def build_tokenizer() -> Tokenizer:
    """Return a word tokenizer over every word that reports and prompts can use.

    Ids: pad 0, end 1, unknown 2; an end token is appended as T5's tokenizer does.
    """
    words: dict[str, None] = {}
    texts = [*all_sentences(), prompt_for(list(LABELS)), prompt_for([])]
    pieces = _pieces()
    for text in texts:
        for piece, _ in pieces.pre_tokenize_str(text):
            words.setdefault(piece)
    vocabulary = {"<pad>": PAD, "</s>": END, "<unk>": UNKNOWN}
    for word in sorted(words):
        vocabulary[word] = len(vocabulary)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def build_language_model(vocabulary: int) -> T5ForConditionalGeneration:
    """Return an untrained T5 for `vocabulary` tokens, padded to a multiple of 16."""
    config = T5Config(
        vocab_size=-(-vocabulary // 16) * 16, d_model=LANGUAGE_WIDTH, d_kv=32, num_heads=8,
        d_ff=384, num_layers=2, num_decoder_layers=2, feed_forward_proj="gated-gelu",
        dropout_rate=0.05,
        eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    config.dense_act_fn = "gelu"  # erf, as ForgeryTalker's; "gated-gelu" alone means tanh
    config.tie_word_embeddings, config.decoder_start_token_id = False, PAD
    model = T5ForConditionalGeneration(config)
    # Only the output layer is untied: both stacks read the one table that `shared` names.
    model.encoder.set_input_embeddings(model.shared)
    model.decoder.set_input_embeddings(model.shared)
    # The library's deviation of 1 is made for tied, scaled embeddings.
    nn.init.normal_(model.lm_head.weight, std=LANGUAGE_WIDTH**-0.5)
    return model


class Reporter(nn.Module):
    """The language model with the projection of the Q-Former's tokens into it."""

    def __init__(self, qformer_width: int) -> None:
        super().__init__()
        self.tokenizer = build_tokenizer()
        self.t5 = build_language_model(self.tokenizer.get_vocab_size())
        self.t5_proj = nn.Linear(qformer_width, LANGUAGE_WIDTH)

    def _inputs(self, tokens: Tensor, prompts: list[str]) -> tuple[Tensor, Tensor]:
        ids = [self.tokenizer.encode(prompt).ids for prompt in prompts]
        padded, attended = _pad(ids)
        embeds = torch.cat([self.t5_proj(tokens), self.t5.get_input_embeddings()(padded)], dim=1)
        soft = torch.ones(tokens.shape[:2], dtype=attended.dtype)
        return embeds, torch.cat([soft, attended], dim=1)

    def loss(self, tokens: Tensor, prompts: list[str], reports: list[str]) -> Tensor:
        """Return the cross-entropy of `reports` given tokens `[B, Q, W]` and prompts."""
        embeds, attended = self._inputs(tokens, prompts)
        ids, real = _pad([self.tokenizer.encode(report).ids for report in reports])
        labels = ids.masked_fill(real == 0, -100)
        output = self.t5(inputs_embeds=embeds, attention_mask=attended, labels=labels)
        return output.loss

    def round_to_bfloat16(self) -> None:
        """Round the T5 in place to the bfloat16 values that an export keeps."""
        with torch.no_grad():
            for parameter in self.t5.parameters():
                parameter.copy_(parameter.to(torch.bfloat16).float())

    def save(self, folder: Path) -> None:
        """Write `config.json`, `model.safetensors` and `tokenizer.json`.

        In bfloat16, to which the exporter rounds a language model in any case.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: value.to(torch.bfloat16).contiguous()
            for name, value in self.t5.state_dict().items()
            if not name.endswith("embed_tokens.weight")
        }
        save_file(tensors, folder / "model.safetensors")
        config = self.t5.config.to_dict()
        kept: dict[str, Any] = {name: config[name] for name in _CONFIG_KEYS}
        kept |= {"dense_act_fn": "gelu", "tie_word_embeddings": False}
        (folder / "config.json").write_text(json.dumps(kept, indent=2) + "\n")
        self.tokenizer.save(str(folder / "tokenizer.json"))


def _pad(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return ids `[B, longest]` padded on the right and 1 where they are real."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    real = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, real
