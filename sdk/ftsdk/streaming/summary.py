"""What is said of a whole video in the end: in how many frames something is suspected, and when.

Many frames are many chances for a false alarm. A video is called suspicious where most of its
frames are: of untouched videos those are at most twice the share of untouched frames that are
(Markov's inequality), however alike or unlike their frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ftsdk.decision import cut_mask
from ftsdk.errors import FtsdkError
from ftsdk.result import SCHEMA_VERSION, Result
from ftsdk.streaming.answers import FrameAnswer, FrameFailed, FrameReported
from ftsdk.validity import Reason

#: Stretches that are named, the first of them.
_SHOWN = 10
#: How many frames, and which share, may be fewer than a video says: many only estimate.
_FEWER, _FEWER_SHARE = 2, 0.05


@dataclass
class Stretch:
    """Frames one after the other that are suspected.

    Attributes:
        first, last: their places in the video, in s.
        frames: how many.
        score: the highest of them; None where the model has none.
    """

    first: float
    last: float
    frames: int = 0
    score: float | None = None

    def add(self, seconds: float, score: float | None) -> None:
        """Go on to a frame at `seconds`."""
        self.last, self.frames = seconds, self.frames + 1
        if score is not None:
            self.score = max(self.score or 0.0, score)

    def __str__(self) -> str:
        score = "" if self.score is None else f", score up to {self.score:.2f}"
        return f"from {self.first:.2f} s to {self.last:.2f} s ({_frames(self.frames)}{score})"


@dataclass
class VideoSummary:
    """What may be said of a video as a whole, from its frames so far.

    Many frames are many chances for a false alarm: a video is suspected where most of them are.

    Attributes:
        masked: how many frames were analysed.
        cannot_tell: of how many of them it cannot tell, by the reason.
        failed: how many could not be analysed.
        failure: why the last of those could not.
        notes: what was changed in the last picture that got an answer, if any did, on the way, and
            what limits every answer.
        stretches: the suspected ones, by their score; of a model that has none, those with a mask.

    Examples:
        >>> summary = ftsdk.VideoSummary()
        >>> for answer in ftsdk.watch("video.mp4", report="never"):
        ...     summary.add(answer)
        >>> print(summary.finding, *summary.stretches)
    """

    masked: int = 0
    cannot_tell: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failure: FtsdkError | None = None
    notes: tuple[str, ...] = ()
    stretches: list[Stretch] = field(default_factory=list)
    _scored: bool = False
    _goes_on: bool = False

    def add(self, answer: FrameAnswer) -> None:
        """Count one frame more.

        Args:
            answer: what `watch` yields; a report is about a frame that was counted with its mask.
        """
        if isinstance(answer, FrameReported):
            return
        if isinstance(answer, FrameFailed):
            self.failed, self.failure, self._goes_on = self.failed + 1, answer.error, False
            return
        result, self.masked = answer.result, self.masked + 1
        if result.cannot_tell is not None:
            self.cannot_tell[result.cannot_tell.reason.value] += 1
        if result.cannot_tell is None or self.cannot_tell.total() == self.masked:
            self.notes = (*result.picture.notes, *result.limits)
        self._scored |= result.suspected is not None
        if not _marked(result):
            self._goes_on = False
            return
        if not self._goes_on:
            self.stretches.append(Stretch(answer.frame.seconds, answer.frame.seconds))
        self._goes_on = True
        self.stretches[-1].add(answer.frame.seconds, result.score)

    def missing(self, said: int) -> str | None:
        """Return what to say where far fewer frames came than announced, or None.

        Args:
            said: how many frames the video speaks of; 0 where it does not.
        """
        came = self.masked + self.failed
        if said - came <= max(_FEWER, _FEWER_SHARE * said):
            return None
        return f"{came} frames could be read of {said}: the video is cut short or damaged"

    @property
    def marked(self) -> int:
        """How many frames are in the stretches."""
        return sum(stretch.frames for stretch in self.stretches)

    @property
    def judged(self) -> int:
        """How many frames the model was made for; of some of them it may be unsure."""
        beyond = self.cannot_tell.total() - self.cannot_tell[Reason.UNSURE.value]
        return self.masked - beyond

    @property
    def suspected(self) -> bool | None:
        """Whether most of the frames that the model was made for are; None without any score."""
        return 2 * self.marked > self.judged if self._scored else None

    @property
    def finding(self) -> str | None:
        """One sentence about the whole video; None where no frame has a score."""
        if self.suspected is None:
            return None
        frames = f"{_frames(self.judged)} that the model was made for"
        if self.suspected:
            return f"Manipulation suspected in {self.marked} of {frames}."
        if self.marked:
            only = "Weak signs only: manipulation suspected"
            return f"{only} in {self.marked} of {frames}, not in most of them."
        return f"No manipulation found in {self.masked - self.cannot_tell.total()} of {frames}."

    def lines(self) -> Iterator[str]:
        """Yield what is to be said, a line each."""
        untold = self.cannot_tell.total()
        sign = "manipulation suspected" if self._scored else "a mask"
        said = [f"{sign} in {self.marked}"] if untold < self.masked else []
        if untold:
            reasons = ", ".join(f"{reason} in {n}" for reason, n in self.cannot_tell.most_common())
            said.append(f"cannot tell of {untold} ({reasons})")
        yield f"{_frames(self.masked)}: {', '.join(said)}"
        yield from (f"  {stretch}" for stretch in self.stretches[:_SHOWN])
        if len(self.stretches) > _SHOWN:
            yield f"  and {len(self.stretches) - _SHOWN} more times"
        if self.finding:
            yield self.finding

    def to_dict(self) -> dict[str, Any]:
        """Return what is to be said as JSON values, under the attributes' names.

        Every stretch is there. docs/result.md has the fields.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "finding": self.finding,
            "suspected": self.suspected,
            "masked": self.masked,
            "judged": self.judged,
            "marked": self.marked,
            "failed": self.failed,
            "cannot_tell": dict(self.cannot_tell),
            "stretches": [asdict(stretch) for stretch in self.stretches],
            "warnings": list(self.notes),
        }


def _marked(result: Result) -> bool:
    """Tell whether a frame is suspected, or, by a model without a score, has a mask."""
    if result.suspected is not None:
        return result.suspected
    return bool(cut_mask(result.probabilities, result.mask_threshold).any())


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
