"""What a manifest's fields must have to do with one another, beyond each one's own range."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ftsdk.manifest import Manifest

#: The stage that finds the faces for the model to look at, and its tensors; a bundle whose model
#: looks at whole pictures can be without.
FACE_DETECTOR = "face_detector"
FACE_INPUT = "face_input"
FACE_OUTPUTS = ("face_likelihood", "face_size", "face_offset", "face_landmarks")
#: The model's own stages in the order in which they run, and what the rest of the SDK reads of
#: each.
MODEL_STAGES = {
    "vision_encoder": ("image_embeds",),
    "forgery_prompter": ("region_logits",),
    "mask_decoder": ("mask_logits",),
    "qformer": ("qformer_output",),
    "language_encoder": ("encoder_output",),
    "language_decoder": ("logits",),
}
#: What the host adds once the regions are known.
_PROMPT = ("region_labels", "region_embeds", "prompt_ids", "prompt_embeds")
_STEP = ("inputs_embeds", "slot_mapping", "cache_indirection")
SOURCE_MASK = "source_mask"


def contradictions(manifest: Manifest) -> Iterator[str]:
    """Yield a sentence for each thing that could not work."""
    if not manifest.labels or len(set(manifest.labels)) < len(manifest.labels):
        yield "labels are missing or named twice"
    language = manifest.language
    if max(language.start_token, language.end_token) >= language.vocabulary:
        yield "a special token is beyond the vocabulary"
    if manifest.stages.keys() - {FACE_DETECTOR} != MODEL_STAGES.keys():
        yield f"the model's stages are not {', '.join(MODEL_STAGES)}"
        return
    yield from _detector(manifest)
    yield from _dataflow(manifest)
    yield from _score(manifest)


def _detector(manifest: Manifest) -> Iterator[str]:
    entry = manifest.stages.get(FACE_DETECTOR)
    if entry is None:
        if manifest.framing == "face":
            yield f"faces are to be framed, and there is no {FACE_DETECTOR}"
    elif entry.inputs != (FACE_INPUT,) or entry.outputs != FACE_OUTPUTS:
        yield f"{FACE_DETECTOR} does not make {', '.join(FACE_OUTPUTS)} of {FACE_INPUT}"


def _dataflow(manifest: Manifest) -> Iterator[str]:
    known = {"pixel_values"}
    promised: tuple[str, ...]
    for stage, promised in MODEL_STAGES.items():
        if stage == "mask_decoder":
            known |= {*_PROMPT, *(("qformer_ids",) if manifest.qformer_tokenizer else ())}
        if stage == "language_decoder":
            several = (SOURCE_MASK,) if manifest.language.several_faces else ()
            known |= {*_STEP, *several, *_cache("past_key_values", manifest)}
            promised = (*promised, *_cache("present", manifest))
            if not {*several} <= {*manifest.stages[stage].inputs}:
                yield f"{stage} writes about several faces, and takes no {SOURCE_MASK}"
        entry = manifest.stages[stage]
        if unknown := [name for name in entry.inputs if name not in known]:
            yield f"{stage} asks for {', '.join(unknown)} before it exists"
        if absent := [name for name in promised if name not in entry.outputs]:
            yield f"{stage} does not yield {', '.join(absent)}"
        known |= set(entry.outputs)


def _cache(prefix: str, manifest: Manifest) -> tuple[str, ...]:
    return tuple(
        f"{prefix}.{layer}.decoder.{part}"
        for layer in range(manifest.language.layers)
        for part in ("key", "value")
    )


def _score(manifest: Manifest) -> Iterator[str]:
    band = manifest.validity.unsure_scores
    if band and (manifest.score is None or not 0 <= band[0] < band[1] <= 1):
        yield "the unsure scores are no part of the score's range"
    if manifest.validity.needs_face and FACE_DETECTOR not in manifest.stages:
        yield f"a face is needed, and there is no {FACE_DETECTOR}"
    if manifest.score is None:
        return
    tail = manifest.score.untouched_tail or ()
    if any(one[0] >= rarer[0] or one[1] <= rarer[1] for one, rarer in pairwise(tail)):
        yield "the tail of untouched scores does not rise in score and fall in share"
    if manifest.score.default not in manifest.score.operating_points:
        yield f"the score has no operating point {manifest.score.default}"
    seen = (manifest.stages[stage].outputs for stage in ("vision_encoder", "forgery_prompter"))
    if not any(manifest.score.tensor in outputs for outputs in seen):
        yield f"no stage that looks at the picture yields {manifest.score.tensor}"
