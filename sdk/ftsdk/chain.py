"""The chain from pixels to a report, over engines by stage name.

    pixels -> pixel_values -> vision_encoder, forgery_prompter -> region_logits
           -> prompt -> mask_decoder -> mask_logits
                     -> qformer -> language_encoder -> language_decoder -> token ids -> text

Tensors travel by the names of the bundle's manifest. No step writes to the tensors that it is
given; each returns them with its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.decision import suspected_regions
from ftsdk.engines.agreement import require_agreement
from ftsdk.engines.contract import Arrays, Engine, Tensors, arrays
from ftsdk.engines.loading import LoadedEngines
from ftsdk.engines.profile import MOST_FACES
from ftsdk.imaging.faces import Framed, Framer, frame_whole, make_framer
from ftsdk.imaging.picture import Picture
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.options import Language
from ftsdk.language.prompt import Prompt, PromptBuilder
from ftsdk.language.writer import StepWriter, Writer
from ftsdk.stages import Stages
from ftsdk.stopwatch import Stopwatch


class Chain:
    """Every step of an analysis, for whoever runs it.

    Analyzers go picture by picture, with `frame`, `start`, `look`, `prompt`, `mask`, `encode` and
    `write`; exporters stage by stage, with `advance`.

    Args:
        bundle: a bundle; of its files only tokenizers and embeddings are read here.
        stages: its stages; None for those who bring an engine of their own to each step.

    Raises:
        BundleContentError: a file of it is not what its manifest says.

    Attributes:
        stages: what runs them.
        embeddings: the language model's token embeddings.
        framer: pixels to the faces that the model looks at.
        prompts: regions to prompt.
        writer: the encoder's tensors to token ids; to compare, another may take its place.
    """

    def __init__(self, bundle: Bundle, stages: Stages | None = None) -> None:
        self._manifest = bundle.manifest
        self.stages = stages or Stages(bundle.manifest, LoadedEngines.none(bundle.manifest))
        language = bundle.manifest.language
        table = bundle.read(language.token_embeddings)
        self.embeddings = TokenEmbeddings(table, language.vocabulary)
        require_agreement(bundle.manifest, self.stages.facts, self.embeddings.width)
        self.prompts = PromptBuilder(bundle, self.embeddings)
        self.framer = make_framer(bundle.manifest, self._find_faces)
        self.writer: Writer = StepWriter(self.stages, self.embeddings, language)

    def frame(self, picture: Picture, framer: Framer | None = None) -> Framed:
        """Return what the model looks at; `framer` may take the place of the chain's own."""
        framer = framer or self.framer
        make = partial(framer, picture.pixels)
        if framer is frame_whole:  # nothing to find, and nothing worth keeping
            return make()
        return self.stages.cache.get_or_make(("face", picture.sha256, framer), make)

    def start(self, pixels: NDArray[np.uint8]) -> Tensors:
        """Return `pixel_values` [1, 3, S, S] float32 of what the model looks at.

        `pixels` is [H, W, 3] uint8 BGR.
        """
        return {"pixel_values": self.stages.pixel_values(pixels)}

    def look(self, tensors: Tensors, watch: Stopwatch, key: Hashable) -> Tensors:
        """Add what the vision stages see in `pixel_values` [N, 3, S, S] float32.

        That is `region_logits` [N, labels] and what the manifest names. `key` stands for the
        content of `pixel_values`.
        """
        stages = "vision_encoder", "forgery_prompter"
        return {**tensors, **self.stages.run_both(*stages, tensors, watch, key)}

    def look_at_all(
        self, faces: Sequence[Tensors], watch: Stopwatch, keys: Sequence[Hashable]
    ) -> list[Tensors]:
        """Do what `look` does for faces [1, 3, S, S] each, a few in a batch, which bounds memory.

        What is seen of a face does not depend on the faces beside it.
        """
        seen: list[Tensors] = []
        for start in range(0, len(faces), MOST_FACES):
            some, key = faces[start : start + MOST_FACES], tuple(keys[start : start + MOST_FACES])
            if len(some) == 1:
                seen.append(self.look(some[0], watch, key[0]))
                continue
            batch = np.concatenate([np.asarray(face["pixel_values"]) for face in some])
            together = self.look({"pixel_values": batch}, watch, key)
            seen.extend(
                {name: np.asarray(value)[index : index + 1] for name, value in together.items()}
                for index in range(len(some))
            )
        return seen

    def prompt(self, regions: Sequence[str]) -> Prompt:
        """Return the prompt about `regions`, in words and as tensors."""
        return self.prompts.build(regions)

    def mask(self, tensors: Tensors, watch: Stopwatch, key: Hashable) -> Tensors:
        """Add `mask_logits` [1, M, M] to the tensors of the vision stages and the prompt."""
        return {**tensors, **self.stages.run("mask_decoder", tensors, watch, key)}

    def encode(self, tensors: Tensors, watch: Stopwatch, key: Hashable) -> Tensors:
        """Add what the report is written from, with the stages `qformer` and `language_encoder`.

        It is `qformer_output` [1, Q, D] and `encoder_output` [1, T, D] float32, and for the decoder
        `past_key_values.{layer}.encoder.key` and `.value`.
        """
        for stage in ("qformer", "language_encoder"):
            tensors = {**tensors, **self.stages.run(stage, tensors, watch, key)}
        return tensors

    def write(
        self, tensors: Tensors, language: Language, watch: Stopwatch
    ) -> Iterator[tuple[int, str]]:
        """Yield the report's token ids and the text that each completes, from `encode`'s tensors.

        Each token is timed, in ms, as `language_decoder`, and the watch is checked before it.
        """
        ids = self.writer(tensors, language, watch.check)
        pieces = self.prompts.tokenizer.decode_stream(ids)
        while True:
            with watch.measure("language_decoder"):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def decoder(
        self, engine: Engine, tensors: Tensors, beams: int, max_new_tokens: int
    ) -> StepDecoder:
        """Return the language decoder that runs on `engine`, to be stepped by hand.

        `tensors` holds the encoder's keys and values; see `StepDecoder`.
        """
        entry = self._manifest.language
        return StepDecoder(engine, self.embeddings, entry, tensors, beams, max_new_tokens)

    def advance(self, stage: str, tensors: Tensors, outputs: Tensors) -> Tensors:
        """Return `tensors` as the stage after `stage` finds them.

        They hold the outputs of `stage` and, after the prompter, the prompt about what it suspects.
        """
        if stage != "forgery_prompter":
            return {**tensors, **outputs}
        regions = suspected_regions(outputs, self._manifest)
        return {**tensors, **outputs, **self.prompt(regions).tensors}

    def _find_faces(self, inputs: Arrays) -> Arrays:
        return arrays(self.stages.infer(FACE_DETECTOR, inputs, Stopwatch()))
