"""What loaded graphs take and give, held against the manifest and against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ftsdk.consistency import FACE_DETECTOR, FACE_INPUT, FACE_OUTPUTS, MODEL_STAGES, SOURCE_MASK
from ftsdk.engines.contract import Axes, GraphFacts, TensorFacts
from ftsdk.errors import BundleContentError
from ftsdk.manifest import LanguageEntry, Manifest

_WHOLE_NUMBERS = ("qformer_ids", "prompt_ids", "slot_mapping", "cache_indirection")
#: Channels of each output of the face detector.
_CHANNELS = (1, 2, 2, 10)


def require_agreement(manifest: Manifest, graphs: Mapping[str, GraphFacts], width: int) -> None:
    """Raise BundleContentError where a graph is not what the manifest says.

    Args:
        manifest: the bundle's.
        graphs: what is known of the stages' graphs.
        width: numbers in a token's embedding.
    """
    for stage, graph in graphs.items():
        entry = manifest.stages[stage]
        for kind, said, tensors in (
            ("inputs", entry.inputs, graph.takes),
            ("outputs", entry.outputs, graph.gives),
        ):
            if {*said} != tensors.keys():
                raise _another(stage, f"the {kind} {', '.join(said)}", ", ".join(tensors))
    faces = graphs.get(FACE_DETECTOR)
    if faces and not _takes_any_size(faces.takes[FACE_INPUT]):
        raise _another(FACE_DETECTOR, "pictures of any size", str(faces.takes[FACE_INPUT]))
    expected = _expected(manifest, width)
    for stage, name, found in _in_order(graphs):
        wanted = expected.setdefault(name, found)
        if not _fits(wanted, found):
            raise _another(stage, f"{name} as {wanted}", str(found))


def _in_order(graphs: Mapping[str, GraphFacts]) -> Iterator[tuple[str, str, TensorFacts]]:
    """Yield every tensor of every graph, what a graph gives before another one takes it."""
    for stage in (FACE_DETECTOR, *MODEL_STAGES):
        if stage in graphs:
            for tensors in (graphs[stage].takes, graphs[stage].gives):
                yield from ((stage, name, facts) for name, facts in tensors.items())


def _takes_any_size(found: TensorFacts) -> bool:
    return found.axes is None or found.axes[2:] == (None, None)


def _fits(wanted: TensorFacts, found: TensorFacts) -> bool:
    if wanted.dtype != found.dtype:
        return False
    if wanted.axes is None or found.axes is None:
        return True
    return len(wanted.axes) == len(found.axes) and all(
        one is None or other is None or one == other
        for one, other in zip(wanted.axes, found.axes, strict=True)
    )


def _expected(manifest: Manifest, width: int) -> dict[str, TensorFacts]:
    size, mask, labels = manifest.preprocessing.size, manifest.mask_size, len(manifest.labels)
    axes: dict[str, Axes] = {
        "pixel_values": (None, 3, size, size),
        "region_logits": (None, labels),
        "region_labels": (None, labels),
        "region_embeds": (None, manifest.region_tokens, width),
        "mask_logits": (None, mask, mask),
        "qformer_ids": (None, None),
        "prompt_ids": (None, None),
        "prompt_embeds": (None, None, width),
        **_decoder_axes(manifest.language, width),
        FACE_INPUT: (None, 3, None, None),
    }
    axes |= {
        name: (None, channels, None, None)
        for name, channels in zip(FACE_OUTPUTS, _CHANNELS, strict=True)
    }
    return {
        name: TensorFacts("int64" if name in _WHOLE_NUMBERS else "float32", one)
        for name, one in axes.items()
    }


def _decoder_axes(language: LanguageEntry, width: int) -> dict[str, Axes]:
    heads, d_kv = language.heads, language.d_kv
    axes: dict[str, Axes] = {
        "inputs_embeds": (None, 1, width),
        "slot_mapping": (None,),
        "cache_indirection": (None, None),
        SOURCE_MASK: (None, None),
        "logits": (None, language.vocabulary),
    }
    for layer in range(language.layers):
        for part in ("key", "value"):
            table = None, heads * d_kv
            axes[f"past_key_values.{layer}.decoder.{part}"] = table
            axes[f"present.{layer}.decoder.{part}"] = table
        past = f"past_key_values.{layer}.encoder"
        axes[f"{past}.key"], axes[f"{past}.value"] = (
            (None, heads, d_kv, None),
            (None, heads, None, d_kv),
        )
    return axes


def _another(stage: str, expected: str, found: str) -> BundleContentError:
    return BundleContentError(
        f"the graph of {stage} is not what the bundle's manifest says",
        expected=expected[:400],
        found=found[:400],
        cure="export the bundle again; a manifest is not meant to be edited",
    )
