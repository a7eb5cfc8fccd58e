"""One picture through the stages: decode, look, ask, mask, words.

Order: `vision_encoder` and `forgery_prompter` look at the picture; the host turns the regions
into a prompt; `mask_decoder` answers where; `qformer`, `language_encoder` and `language_decoder`
answer why. Tensors travel by the names that the bundle's manifest gives them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ftsdk.acceptance import load_accepted
from ftsdk.analysis import Asked, LocatedPicture, View
from ftsdk.bundle import Bundle, open_bundle
from ftsdk.cancellation import Cancellation
from ftsdk.chain import Chain
from ftsdk.engines.contract import arrays
from ftsdk.engines.forked import refuse_pickling
from ftsdk.errors import FtsdkError
from ftsdk.events import Event, Finished, MaskReady, RegionsFound
from ftsdk.imaging.decode import Color, several
from ftsdk.imaging.faces import Framer
from ftsdk.imaging.picture import MAX_PIXELS
from ftsdk.imaging.reader import PictureReader
from ftsdk.language.options import Language
from ftsdk.language.writer import Text
from ftsdk.question import Question, correction, known_regions
from ftsdk.result import Failure, Result
from ftsdk.result_builder import ResultBuilder
from ftsdk.stages import Stages
from ftsdk.stopwatch import Stopwatch
from ftsdk.trust import BundleName

Image = Any
TRACE_LANGUAGE = Language()


class Analyzer:
    """A loaded bundle, to be used for many pictures and from several threads.

    Args:
        bundle: a bundle directory; None and `"nano"` are the model that comes with the package, and
            a directory of that name is `"./nano"`. `"DIR@sha256:HEX"` takes only the bundle whose
            manifest.json has that hash.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, or an execution provider's of another package, such
            as `openvino:npu`; never another than asked for.
        language: how reports are decoded; None is as the bundle says. The attribute of this name
            may be replaced between calls.
        threads: threads inside one operator; 0 is one for small stages, else the runtime's choice.
        cache_bytes: how much of what the stages made of the last pictures is kept, so that the
            same picture again (by content) goes straight to the words; 0 keeps nothing.
        isolate_decoding: decode files in processes with limits on memory and time, so that no
            picture can crash, fill or freeze the program: for pictures of strangers. Linux only;
            Pillow pictures, which decode themselves, and arrays stay here.
        max_pixels: width times height that is refused when exceeded, by the header.
        trusted: a PEM file with an Ed25519 public key; only a bundle that `ft-export --sign` signed
            with its private key is opened.

    Raises:
        BundleError: the bundle is incomplete, altered, of another version, or not the one pinned.
        EngineError: no runtime, or not on this device.
        OptionError: decoding cannot be isolated here.

    Examples:
        >>> with ftsdk.Analyzer(device="cpu") as analyzer:
        ...     print(analyzer.analyze("face.jpg").report)
    """

    def __init__(
        self,
        bundle: str | Path | BundleName | None = None,
        *,
        device: str = "auto",
        language: Language | None = None,
        threads: int = 0,
        cache_bytes: int = 64 << 20,
        isolate_decoding: bool = False,
        max_pixels: int = MAX_PIXELS,
        trusted: str | Path | None = None,
    ) -> None:
        self.reader = PictureReader(isolate_decoding, max_pixels)
        self._bundle = open_bundle(bundle, trusted)
        manifest = self._bundle.manifest
        self.language = language or Language(**asdict(manifest.generation))
        loaded = load_accepted(self._bundle, device, threads)
        #: The stages, the prompt and the writer; see `Chain`.
        self.chain = Chain(self._bundle, Stages(manifest, loaded, cache_bytes))
        self._results = ResultBuilder(self._bundle, loaded.runtime, loaded.device)

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
            timeout: seconds after which the analysis is given up, also in the middle of a stage
                where the runtime can be stopped there, or one token later.
            cancellation: lets another thread give the analysis up.

        Raises:
            InputError: the picture or an argument is at fault.
            EngineError: a stage failed.
            AnalysisCancelledError: the time-out passed, or it was given up.
        """
        events = self.stream(
            image, color=color, regions=regions, report=report, timeout=timeout,
            cancellation=cancellation,
        )  # fmt: skip
        return _last(events)

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

        Of a picture that the model was not made for Finished alone; see `Result.cannot_tell`.
        Takes what `analyze` takes. Closing the generator stops the engine within one token;
        `cancellation` and `timeout` stop it in the middle of a stage.
        """
        chosen = known_regions(regions, self._bundle.manifest)
        question = Question(chosen, None, report, self.language)
        with Stopwatch(timeout, cancellation) as watch:
            views = self.prepare(image, color, watch)
            unanswered = self.unanswered(views, watch)
            if unanswered is None:
                views = self.look(views, watch)
                unanswered = self.unanswered(views, watch)
            if unanswered is None:
                yield from self._answer(views, question, watch)
            else:
                yield Finished(unanswered)

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
        from ftsdk.asynchronous import in_thread  # asyncio is a tenth of what `import` takes

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
            timeout: seconds after which the answer is given up; see `analyze`.
            cancellation: lets another thread give the answer up.

        Raises:
            RegionError: a name is no label of this bundle.
            ArrayError: the mask has another dtype or shape.
            OptionError: the result is another bundle's.
            AnalysisCancelledError: the time-out passed, or it was given up.
        """
        return _last(
            self.stream_refined(result, regions, mask, timeout=timeout, cancellation=cancellation)
        )

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
        self._results.require_own(result)
        question = correction(result, regions, mask, self._bundle.manifest, self.language)
        views = (View.of_result(result),)
        with Stopwatch(timeout, cancellation) as watch:
            yield from self._answer(views, question, watch, standing=result.others)

    def analyze_many(
        self, images: Iterable[Image], *, color: Color = "bgr", report: bool = True
    ) -> Iterator[Result | Failure]:
        """Yield a Result a picture, in order, or a Failure where one could not be analysed.

        Args:
            images: several of what `analyze` takes, read as answers are; one alone is refused.
            color: channel order of arrays.
            report: False stops after each mask.
        """
        for index, image in enumerate(several(images)):
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

        Args:
            image: what `analyze` takes.
            regions: names to use in place of the regions that the model finds.
            language: how the report is decoded; greedy by default.
            color: channel order of an array.

        Always among them: `pixel_values`, `region_logits`, `image_embeds`, `mask_logits`,
        `qformer_output`, `prompt`, `prompt_ids`, `encoder_output`, `report_ids` [1, T] int64 with
        the start token, `report`; and `qformer_ids` where the model has them.
        """
        watch = Stopwatch()
        chosen = known_regions(regions, self._bundle.manifest)
        question = Question(chosen, None, True, language)
        views = self.look(self.prepare(image, color, watch), watch)
        asked = self.ask(views, question, watch)
        face = self.locate(asked[:1], question, watch).faces[0]
        encoded = self.chain.encode([face.tensors], watch, [face.key])
        tokens = [*self.chain.write(encoded, language, watch)]
        start = self._bundle.manifest.language.start_token
        return {
            **arrays(encoded[0]),
            "prompt": face.prompt,
            "report_ids": np.array([[start, *(token.id for token in tokens)]], np.int64),
            "report": "".join(token.text for token in tokens),
        }

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers."""
        return self._bundle

    @property
    def stages(self) -> Stages:
        """What runs the stages."""
        return self.chain.stages

    def close(self) -> None:
        """Free the engines; the analyzer cannot be used afterwards."""
        self.stages.close()
        self.reader.close()

    def __enter__(self) -> Analyzer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        refuse_pickling()

    def prepare(
        self, image: Image, color: Color, watch: Stopwatch, framer: Framer | None = None
    ) -> tuple[View, ...]:
        """Decode, frame the faces and preprocess; `framer` may take the chain's own's place.

        This and what follows are the steps of an answer, for pipelines that run them apart.
        """
        with watch.measure("decode"):
            picture = self.reader.read(image, color, watch)
        with watch.measure("face"):
            framed = self.chain.frame(picture, framer)
        with watch.measure("preprocess"):
            tensors = [self.chain.start(face.pixels) for face in framed.faces]
            return self._results.views(picture, framed, tensors)

    def unanswered(self, views: Sequence[View], watch: Stopwatch) -> Result | None:
        """Return the answer to a picture that the model was not made for; None if it was.

        To be asked after `prepare`, and again after `look`, which tells the score.
        """
        why = self._results.cannot_tell(views)
        return self._results.unanswered(views[0], why, watch.timings()) if why else None

    def look(self, views: Sequence[View], watch: Stopwatch) -> tuple[View, ...]:
        """Let the vision stages see the faces; first comes the most suspicious one."""
        tensors, keys = [view.tensors for view in views], [view.key for view in views]
        seen = self.chain.look(tensors, watch, keys)
        pairs = zip(views, seen, strict=True)
        return self._results.foremost_first([replace(view, tensors=one) for view, one in pairs])

    def ask(self, views: Sequence[View], question: Question, watch: Stopwatch) -> tuple[Asked, ...]:
        """Turn each face's regions, the user's or those that the model suspects, into a prompt."""
        asked, chosen = [], question.regions
        for view in views:
            names = self._results.suspected(view) if chosen is None else chosen
            with watch.measure("prompt"):
                asked.append(self._results.asked(view, names, self.chain.prompt(names)))
        return tuple(asked)

    def locate(
        self,
        asked: Sequence[Asked],
        question: Question,
        watch: Stopwatch,
        standing: tuple[Result, ...] = (),
    ) -> LocatedPicture:
        """Mask each face; `standing` are answers to other faces of the picture that stay."""
        names = [[region.name for region in face.regions] for face in asked]
        keys = [
            (face.view.key, *own, question.mask_sha256)
            for face, own in zip(asked, names, strict=True)
        ]
        tensors = [face.tensors for face in asked]
        if question.mask_logits is None:
            tensors = self.chain.mask(tensors, watch, keys)
        else:
            tensors = [{**one, "mask_logits": question.mask_logits} for one in tensors]
        located = map(self._results.located, asked, tensors, keys)
        return LocatedPicture.of(tuple(located), standing)

    def explain(
        self, located: LocatedPicture, question: Question, watch: Stopwatch
    ) -> Iterator[Event]:
        """Write about each face, if a report is wanted, and finish; yields the first's tokens."""
        texts: Sequence[Text] = ()
        if question.report:
            faces, keys = zip(*((face.tensors, face.key) for face in located.faces), strict=True)
            encoded = self.chain.encode(faces, watch, keys)
            texts = yield from self.chain.write(encoded, question.language, watch)
        yield Finished(self.result(located, question, watch, texts))

    def result(
        self,
        located: LocatedPicture,
        question: Question,
        watch: Stopwatch,
        texts: Sequence[Text] = (),
    ) -> Result:
        """Return the answer as far as it is known: without `texts`, all but the report."""
        return self._results.result(located, texts, question.corrections, watch.timings())

    def _answer(
        self,
        views: Sequence[View],
        question: Question,
        watch: Stopwatch,
        standing: tuple[Result, ...] = (),
    ) -> Iterator[Event]:
        asked = self.ask(views, question, watch)
        yield RegionsFound(asked[0].regions)
        located = self.locate(asked, question, watch, standing)
        yield MaskReady(located.probabilities, located.faces[0].regions, located.score)
        yield from self.explain(located, question, watch)


def _last(events: Iterator[Event]) -> Result:
    *_, finished = events
    return cast(Finished, finished).result
