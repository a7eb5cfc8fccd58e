"""The chain from pixels to a report, over engines by stage name.

    pixels -> pixel_values -> vision_encoder, forgery_prompter -> region_logits
           -> prompt -> mask_decoder -> mask_logits
                     -> qformer -> language_encoder -> language_decoder -> token ids -> text

Tensors travel by the names of the bundle's manifest. No step writes to the tensors that it is
given; each returns them with its own.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ftsdk.bundle import Bundle
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.decision import suspected_regions
from ftsdk.engines.agreement import require_agreement
from ftsdk.engines.contract import Arrays, Engine, Tensors, arrays
from ftsdk.engines.loading import LoadedEngines
from ftsdk.events import ReportToken
from ftsdk.imaging.faces import Framed, Framer, frame_whole, make_framer
from ftsdk.imaging.picture import Picture
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.options import Language
from ftsdk.language.prompt import Prompt, PromptBuilder
from ftsdk.language.tokenizer import TextStream
from ftsdk.language.writer import StepWriter, Text, Writer
from ftsdk.stages import Stages
from ftsdk.stopwatch import Stopwatch
from ftsdk.together import run_together


class Chain:
    """Every step of an analysis, for whoever runs it.

    Analyzers go picture by picture, with `frame`, `start`, `look`, `prompt`, `mask`, `encode` and
    `write`, which take all faces of a picture; exporters stage by stage, with `advance`.

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

    def look(
        self, faces: Sequence[Tensors], watch: Stopwatch, keys: Sequence[Hashable]
    ) -> list[Tensors]:
        """Add what the vision stages see in each face's `pixel_values` [1, 3, S, S] float32.

        That is `region_logits` [1, labels] and what the manifest names. `keys` stand for the
        content of each face's tensors, here and below; what is made of a face does not depend on
        those beside it.
        """
        run = partial(self.stages.run_both, "vision_encoder", "forgery_prompter")
        return run_together(run, ("pixel_values",), faces, watch, keys)

    def prompt(self, regions: Sequence[str]) -> Prompt:
        """Return the prompt about `regions`, in words and as tensors."""
        return self.prompts.build(regions)

    def mask(
        self, faces: Sequence[Tensors], watch: Stopwatch, keys: Sequence[Hashable]
    ) -> list[Tensors]:
        """Add `mask_logits` [1, M, M] to each face's tensors of vision stages and prompt."""
        return self._run("mask_decoder", faces, watch, keys)

    def encode(
        self, faces: Sequence[Tensors], watch: Stopwatch, keys: Sequence[Hashable]
    ) -> list[Tensors]:
        """Add what each report is written from, with the stages `qformer` and `language_encoder`.

        It is `qformer_output` [1, Q, D] and `encoder_output` [1, T, D] float32, and for the decoder
        `past_key_values.{layer}.encoder.key` and `.value`. Prompts of one length share a batch.
        """
        faces = self._run("qformer", faces, watch, keys)
        return self._run("language_encoder", faces, watch, keys)

    def write(
        self, faces: Sequence[Tensors], language: Language, watch: Stopwatch
    ) -> Generator[ReportToken, None, list[Text]]:
        """Write about each face from `encode`'s tensors, and return what was written.

        Yields the tokens of the first face's report as they become known. Each step is timed, in
        ms, as `language_decoder`, and the watch is checked before it.
        """
        steps = self.writer(faces, language, watch.check)
        tokenizer = self.prompts.tokenizer
        ids: list[list[int]] = [[] for _ in faces]
        stream = TextStream(tokenizer)
        while True:
            pieces: list[tuple[int, str]] = []
            with watch.measure("language_decoder"):
                tokens = next(steps, None)
                if tokens is None:
                    return [Text(tokenizer.decode(one), tuple(one)) for one in ids]
                for token in tokens:
                    ids[token.face].append(token.id)
                    if token.face == 0:
                        pieces += stream.add(token.id, token.last)
            for number, text in pieces:
                yield ReportToken(number, text)

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

    def _run(
        self, stage: str, faces: Sequence[Tensors], watch: Stopwatch, keys: Sequence[Hashable]
    ) -> list[Tensors]:
        inputs = self._manifest.stages[stage].inputs
        return run_together(partial(self.stages.run, stage), inputs, faces, watch, keys)

    def _find_faces(self, inputs: Arrays) -> Arrays:
        return arrays(self.stages.infer(FACE_DETECTOR, inputs, Stopwatch()))
