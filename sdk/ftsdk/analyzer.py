"""One picture through the stages: decode, look, ask, mask, words.

Order: `vision_encoder` and `forgery_prompter` look at the picture; the host turns the regions
into a prompt; `mask_decoder` answers where; `qformer`, `language_encoder` and `language_decoder`
answer why. Tensors travel by the names that the bundle's manifest gives them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ftsdk.answer import AnswerBuilder, Located, Question, View, joined
from ftsdk.asynchronous import in_thread
from ftsdk.bundle import NANO, Bundle, open_bundle
from ftsdk.cancellation import Cancellation
from ftsdk.consistency import FACE_DETECTOR
from ftsdk.decision import suspected_regions
from ftsdk.engines.contract import Arrays, arrays
from ftsdk.errors import FtsdkError, OptionError
from ftsdk.events import Event, Finished, MaskReady, RegionsFound, ReportToken
from ftsdk.imaging.codec import decode_file
from ftsdk.imaging.decode import FileDecoder, decode
from ftsdk.imaging.faces import Framed, Framer, frame_whole, make_framer
from ftsdk.imaging.picture import MAX_PIXELS, Picture
from ftsdk.language.embeddings import TokenEmbeddings
from ftsdk.language.options import Language
from ftsdk.language.prompt import PromptBuilder
from ftsdk.language.writer import StepWriter, Writer
from ftsdk.result import Failure, Result
from ftsdk.stages import Known, Stages
from ftsdk.stopwatch import Stopwatch

if TYPE_CHECKING:
    from ftsdk.imaging.isolation import DecoderPool

Image = Any
Color = Literal["bgr", "rgb"]
TRACE_LANGUAGE = Language()


class Analyzer:
    """A loaded bundle, to be used for many pictures and from several threads.

    Args:
        bundle: a bundle directory; None is the nano model that comes with the package.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; never another than asked for.
        language: how reports are decoded; None is as the bundle says. The attribute of this name
            may be replaced between calls.
        threads: threads inside one operator; 0 is one for small stages, else the runtime's choice.
        cache_bytes: how much of what the stages made of the last pictures is kept, so that the
            same picture again (by content) goes straight to the words; 0 keeps nothing.
        isolate_decoding: decode files in processes with limits on memory and time, so that no
            picture can crash, fill or freeze the program: for pictures of strangers. Linux only;
            Pillow pictures, which decode themselves, and arrays stay here.
        max_pixels: width times height that is refused when exceeded, by the header.

    Raises:
        BundleError: the bundle is incomplete, altered, or of another version.
        EngineError: no runtime, or not on this device.
        OptionError: decoding cannot be isolated here.

    Example:
        >>> with ftsdk.Analyzer(device="cpu") as analyzer:
        ...     print(analyzer.analyze("face.jpg").report)
    """

    def __init__(
        self,
        bundle: str | Path | None = None,
        *,
        device: str = "auto",
        language: Language | None = None,
        threads: int = 0,
        cache_bytes: int = 64 << 20,
        isolate_decoding: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._decoders = _decoder_pool() if isolate_decoding else None
        self._max_pixels = max_pixels
        self._bundle = open_bundle(bundle or NANO)
        manifest = self._bundle.manifest
        self.language = language or Language(**manifest.generation.model_dump())
        embeddings = TokenEmbeddings(self._bundle.file(manifest.language.token_embeddings))
        self._prompts = PromptBuilder(self._bundle, embeddings)
        self.stages = Stages(self._bundle, device, threads, cache_bytes)
        self._answers = AnswerBuilder(self._bundle, self.stages)
        #: What says which part of a picture the model looks at.
        self.framer = make_framer(manifest.framing, manifest.preprocessing.size, self._find_faces)
        #: What turns the encoder's tensors into tokens; to compare, another may take its place.
        self.writer: Writer = StepWriter(self.stages, embeddings, manifest.language)

    def analyze(
        self,
        image: Image,
        *,
        color: Color = "bgr",
        regions: Sequence[str] | None = None,
        report: bool = True,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Return mask, regions and report of one picture.

        Of several faces each is answered: the most suspicious, and beside it `Result.others`.

        Args:
            image: path, bytes, binary file, Pillow image, or uint8 array [H, W, 3].
            color: channel order of an array.
            regions: names to use in place of the regions that the model finds, in every face.
            report: False stops after the mask.
            timeout: seconds after which the analysis is given up, at the latest one token later.
            cancellation: lets another thread give the analysis up.

        Raises:
            InputError: the picture or an argument is at fault.
            EngineError: a stage failed.
            AnalysisCancelledError: the time-out passed, or it was given up.
        """
        return _last(
            self.stream(
                image,
                color=color,
                regions=regions,
                report=report,
                timeout=timeout,
                cancellation=cancellation,
            )
        )

    def stream(
        self,
        image: Image,
        *,
        color: Color = "bgr",
        regions: Sequence[str] | None = None,
        report: bool = True,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Generator[Event, None, None]:
        """Yield RegionsFound, MaskReady, ReportToken..., Finished as they become known.

        Takes what `analyze` takes. Closing the generator stops the engine within one token;
        `cancellation` stops it in the middle of a stage.
        """
        watch = Stopwatch(timeout, cancellation)
        question = Question(self.known_regions(regions), None, report, self.language)
        yield from self._answer(self._look(image, color, watch), watch, question)

    async def analyze_async(self, image: Image, **options: Any) -> Result:
        """Return what `analyze` does, without holding the event loop; takes what it takes.

        Cancelling the task stops the engine within one token.
        """
        async with aclosing(self.stream_async(image, **options)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.result
        raise AssertionError("a stream always ends with Finished")

    def stream_async(self, image: Image, **options: Any) -> AsyncGenerator[Event, None]:
        """Yield what `stream` does, without holding the event loop; takes what it takes.

        Cancelling the task, or closing the generator, stops the engine within one token.
        """
        return in_thread(lambda given_up: self.stream(image, cancellation=given_up, **options))

    def refine(
        self,
        result: Result,
        regions: Sequence[str] | None = None,
        mask: NDArray[np.bool_] | None = None,
        *,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Answer again with the user's corrections; the picture is not encoded again.

        Args:
            result: an answer of this analyzer's bundle.
            regions: the regions that are manipulated; None keeps the result's.
            mask: the manipulated pixels [H, W] bool at the picture's size; None keeps a mask that
                was painted before, or lets the model mask the regions.
            timeout: seconds after which the answer is given up, at the latest one token later.
            cancellation: lets another thread give the answer up.

        Raises:
            RegionError: a name is no label of this bundle.
            ArrayError: the mask has another dtype or shape.
            OptionError: the result is another bundle's.
            AnalysisCancelledError: the time-out passed, or it was given up.
        """
        events = self.stream_refined(
            result, regions, mask, timeout=timeout, cancellation=cancellation
        )
        return _last(events)

    def stream_refined(
        self,
        result: Result,
        regions: Sequence[str] | None = None,
        mask: NDArray[np.bool_] | None = None,
        *,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[Event]:
        """Yield what `refine` finds, as it becomes known; see `stream`."""
        if result.provenance.bundle_sha256 != self._bundle.sha256:
            raise OptionError(
                "this result was made with another bundle",
                expected=self._bundle.manifest.name,
                found=result.provenance.bundle,
                cure="refine it with an Analyzer of the bundle that made it",
            )
        kept = (
            [region.name for region in result.regions] if "regions" in result.corrections else None
        )
        question = Question(
            regions=self.known_regions(kept if regions is None else regions),
            mask_logits=self._answers.painted(result, mask),
            report=result.report is not None,
            language=self.language,
        )
        tensors: Known = {**result.image_tensors}
        view = View(result.picture, result.face, result.limits, tensors, answered=result.others)
        yield from self._answer(view, Stopwatch(timeout, cancellation), question)

    def analyze_many(
        self, images: Iterable[Image], *, color: Color = "bgr", report: bool = True
    ) -> Iterator[Result | Failure]:
        """Yield a Result a picture, in order, or a Failure where one could not be analysed."""
        for index, image in enumerate(images):
            try:
                yield self.analyze(image, color=color, report=report)
            except FtsdkError as error:
                name = str(image) if isinstance(image, str | Path) else f"picture {index}"
                yield Failure(name, error)

    def trace(
        self,
        image: Image,
        regions: Sequence[str] | None = None,
        language: Language = TRACE_LANGUAGE,
        *,
        color: Color = "bgr",
    ) -> dict[str, Any]:
        """Return every named tensor of the chain, to see where two devices or models differ.

        Always among them: `pixel_values`, `region_logits`, `image_embeds`, `mask_logits`,
        `qformer_output`, `prompt`, `prompt_ids`, `encoder_output`, `report_ids` [1, T] int64 with
        the start token, `report`; and `qformer_ids` where the model has them.
        """
        watch = Stopwatch()
        named: dict[str, Any] = {}
        question = Question(self.known_regions(regions), None, True, language)
        result = _last(self._answer(self._look(image, color, watch), watch, question, named))
        ids = np.array([result.report_ids], np.int64)
        return {**named, "report_ids": ids, "report": result.report}

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers."""
        return self._bundle

    def known_regions(self, regions: Sequence[str] | None) -> list[str] | None:
        """Return the names in label order; None stays None.

        Raises:
            RegionError: a name is no label of this bundle.
        """
        return self._answers.known_regions(regions)

    def close(self) -> None:
        """Free the engines; the analyzer cannot be used afterwards."""
        self.stages.close()
        if self._decoders:
            self._decoders.close()

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _look(self, image: Image, color: Color, watch: Stopwatch) -> View:
        return self.encode(self.prepare(image, color, watch), watch)

    def prepare(
        self, image: Image, color: Color, watch: Stopwatch, framer: Framer | None = None
    ) -> View:
        """Decode, frame the faces and preprocess; `framer` may take the analyzer's own's place.

        This and the next three are the steps of an answer, for pipelines that run them apart.
        """
        manifest = self._bundle.manifest
        with watch.measure("decode"):
            picture = decode(
                image,
                color=color,
                max_pixels=self._max_pixels,
                file_decoder=self._file_decoder(watch),
            )
        with watch.measure("face"):
            framed = self._framed(picture, framer or self.framer)
        with watch.measure("preprocess"):
            first, *others = (
                View(
                    picture,
                    face.box,
                    (*face.notes, *manifest.limits),
                    {"pixel_values": self.stages.pixel_values(face.pixels)},
                )
                for face in (framed, *framed.others)
            )
        return replace(first, others=tuple(others))

    def _file_decoder(self, watch: Stopwatch) -> FileDecoder:
        return partial(self._decoders.decode, watch=watch) if self._decoders else decode_file

    def _find_faces(self, inputs: Arrays) -> Arrays:
        return arrays(self.stages.infer(FACE_DETECTOR, inputs, Stopwatch()))

    def _framed(self, picture: Picture, framer: Framer) -> Framed:
        make = partial(framer, picture.pixels)
        if framer is frame_whole:  # nothing to find, and nothing worth keeping
            return make()
        return self.stages.cache.get_or_make(("face", picture.sha256, framer), make)

    def encode(self, view: View, watch: Stopwatch) -> View:
        """Let the vision stages see the faces, and return the foremost with their tensors."""
        for face in (view, *view.others):
            self.stages.run_both(
                "vision_encoder", "forgery_prompter", face.tensors, watch, face.key
            )
        return self._answers.foremost(view)

    def locate(self, view: View, question: Question, watch: Stopwatch) -> Located:
        """Ask where: the prompt, and the mask that answers it."""
        names = self._names(view, question)
        with watch.measure("prompt"):
            prompt = self._prompts.build(names)
        tensors = view.tensors | prompt.tensors
        key = (view.key, *names, question.painted)
        if question.mask_logits is None:
            self.stages.run("mask_decoder", tensors, watch, key)
        else:
            tensors["mask_logits"] = question.mask_logits
        others = tuple(self.locate(face, question, watch) for face in view.others)
        known = (*view.answered, *(other.answer for other in others))
        answer = joined(self._answers.localised(view, tensors, names), known)
        return Located(answer, prompt.text, tensors, key, others)

    def _answer(
        self,
        view: View,
        watch: Stopwatch,
        question: Question,
        named: dict[str, Any] | None = None,
    ) -> Iterator[Event]:
        names = self._names(view, question)
        yield RegionsFound(self._answers.regions(view.tensors, names))
        located = self.locate(view, question, watch)
        answer = located.answer
        yield MaskReady(answer.probabilities, answer.regions, answer.score)
        yield from self.explain(located, question, watch)
        if named is not None:
            named |= arrays(located.tensors) | {"prompt": located.prompt}

    def _names(self, view: View, question: Question) -> list[str]:
        suspected = suspected_regions(view.tensors, self._bundle.manifest)
        return suspected if question.regions is None else question.regions

    def explain(self, located: Located, question: Question, watch: Stopwatch) -> Iterator[Event]:
        """Ask why, if a report is wanted, and finish the answer."""
        ids: list[int] = []
        words: list[str] = []
        if question.report:
            for token, text in self._write(located, question.language, watch):
                ids.append(token)
                words.append(text)
                yield ReportToken(token, text)
        others = [_last(self.explain(face, question, watch)) for face in located.others]
        answer = replace(
            located.answer,
            report="".join(words) if question.report else None,
            report_ids=(self._bundle.manifest.language.start_token, *ids) if ids else (),
            corrections=question.corrections,
            timings=watch.timings(),
        )
        yield Finished(joined(answer, others))

    def _write(
        self, located: Located, language: Language, watch: Stopwatch
    ) -> Iterator[tuple[int, str]]:
        self.stages.run("qformer", located.tensors, watch, located.key)
        self.stages.run("language_encoder", located.tensors, watch, located.key)
        ids = self.writer(located.tensors, language, watch.check)
        pieces = self._prompts.tokenizer.decode_stream(ids)
        while True:
            with watch.measure("language_decoder"):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece


def _decoder_pool() -> DecoderPool:
    from ftsdk.imaging.isolation import DecoderPool  # only where it is asked for, and on Linux

    return DecoderPool()


def _last(events: Iterator[Event]) -> Result:
    *_, finished = events
    return cast(Finished, finished).result
