"""How a report is decoded."""

from __future__ import annotations

from dataclasses import dataclass

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
        _require("beams", self.beams, 1 <= self.beams <= 64, "1 to 64")
        _require(
            "max_new_tokens", self.max_new_tokens, 1 <= self.max_new_tokens <= 4096, "1 to 4096"
        )
        _require("min_length", self.min_length, self.min_length >= 0, "0 or more")
        _require(
            "repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0, "above 0"
        )
        _require("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1")
        if self.temperature is not None:
            _require("temperature", self.temperature, self.temperature > 0, "above 0, or None")
            _require("beams", self.beams, self.beams == 1, "1 when a temperature is set")


def _require(name: str, value: float, valid: bool, expected: str) -> None:
    if not valid:
        raise OptionError(
            f"Language.{name} is outside its range",
            expected=expected,
            found=str(value),
            cure=f"pass another {name}",
        )
