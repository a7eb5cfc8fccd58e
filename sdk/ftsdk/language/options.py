"""How a report is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real

from ftsdk.errors import OptionError


@dataclass(frozen=True)
class Language:
    """Decoding settings; lengths count tokens.

    Attributes:
        beams: 1 is greedy (or sampling), more is beam search.
        max_new_tokens: the most tokens a report may have.
        min_length: no end before this many tokens, the start token counted.
        repetition_penalty: above 1 makes a token that was used less likely.
        length_penalty: exponent of the length that a finished beam's score is divided by.
        temperature: None takes the most likely token; a number samples at that temperature.
        top_p: sampling keeps the most likely tokens that together reach this probability.
        seed: makes sampling repeatable.

    Raises:
        OptionError: a value is outside its range, or beams are combined with sampling.

    Examples:
        >>> as_the_authors = ftsdk.Language(beams=5)
        >>> with ftsdk.Analyzer(language=as_the_authors) as analyzer:
        ...     print(analyzer.analyze("face.jpg").report)
    """

    beams: int = 1
    max_new_tokens: int = 40
    min_length: int = 5
    repetition_penalty: float = 1.5
    length_penalty: float = 1.0
    temperature: float | None = None
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        self._require("beams", _whole(self.beams, 1, 64), "a whole number, 1 to 64")
        self._require(
            "max_new_tokens", _whole(self.max_new_tokens, 1, 4096), "a whole number, 1 to 4096"
        )
        self._require("min_length", _whole(self.min_length, 0, 4097), "a whole number, 0 to 4097")
        penalty, length_penalty = self.repetition_penalty, self.length_penalty
        self._require("repetition_penalty", _finite(penalty) and penalty > 0, "finite and above 0")
        self._require("length_penalty", _finite(length_penalty), "a finite number")
        self._require("top_p", _finite(self.top_p) and 0 < self.top_p <= 1, "above 0, at most 1")
        self._require(
            "seed", self.seed is None or _whole(self.seed, 0, 1 << 64), "0 or more, or None"
        )
        if self.temperature is not None:
            warm = _finite(self.temperature) and self.temperature > 0
            self._require("temperature", warm, "finite and above 0, or None")
            self._require("beams", self.beams == 1, "1 when a temperature is set")

    def _require(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            raise OptionError(
                f"Language.{name} is outside its range",
                expected=expected,
                found=repr(getattr(self, name)),
                cure=f"pass another {name}",
            )


def _whole(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, Integral) and lowest <= int(value) <= highest


def _finite(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)
