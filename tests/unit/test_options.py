"""Decoding settings and their ranges."""

from __future__ import annotations

import dataclasses

import pytest

from ftsdk import Language
from ftsdk.errors import InputError, OptionError


@pytest.mark.parametrize(
    "settings",
    [
        {"beams": 0},
        {"beams": 65},
        {"max_new_tokens": 0},
        {"max_new_tokens": 4097},
        {"min_length": -1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("nan")},
        {"repetition_penalty": float("inf")},
        {"length_penalty": float("nan")},
        {"length_penalty": float("inf")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("inf")},
        {"temperature": 1.0, "beams": 2},
        {"seed": -1},
        {"beams": 2.5},
        {"max_new_tokens": 7.5},
        {"beams": "2"},
    ],
)
def test_a_value_outside_its_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(OptionError) as caught:
        Language(**settings)
    name = [*settings][-1]
    assert f"Language.{name}" in caught.value.what
    assert str(settings[name]) in caught.value.found
    assert caught.value.expected
    assert caught.value.cure
    assert isinstance(caught.value, InputError)


def test_the_ends_of_the_ranges_are_allowed() -> None:
    Language(beams=64, max_new_tokens=4096, min_length=0, top_p=1.0)
    Language(beams=1, max_new_tokens=1, temperature=1e-3, seed=0, length_penalty=-1.0)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Language().beams = 3  # type: ignore[misc]
