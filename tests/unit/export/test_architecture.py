"""Dimensions by name and by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import second_miniature

from ft_export.errors import ArchitectureError
from ft_export.model.architecture import (
    PUBLISHED,
    ForgeryTalkerArchitecture,
    architecture_of,
    load_architecture,
)
from ftsdk.regions import LABELS


def test_the_published_architectures_are_known_by_name() -> None:
    xl, base = load_architecture("xl"), load_architecture("base")
    assert isinstance(xl, ForgeryTalkerArchitecture)
    assert isinstance(base, ForgeryTalkerArchitecture)
    assert (xl.vision_encoder.depth, xl.vision_encoder.mlp_hidden) == (39, 6144)
    assert (xl.qformer.depth, base.qformer.depth) == (12, 6)
    assert xl.model_copy(update={"qformer": base.qformer}) == base
    assert xl.labels == LABELS
    assert len(set(LABELS)) == 21
    assert set(PUBLISHED) == {"xl", "base"}


def test_a_file_says_the_same_as_the_object(tmp_path: Path) -> None:
    path = tmp_path / "architecture.json"
    path.write_text(second_miniature.ARCHITECTURE.model_dump_json(), encoding="utf-8")
    assert load_architecture(str(path)) == second_miniature.ARCHITECTURE


def test_weights_may_bring_their_own_architecture(tmp_path: Path) -> None:
    assert architecture_of(tmp_path, None) == PUBLISHED["xl"]
    path = tmp_path / "architecture.json"
    path.write_text(second_miniature.ARCHITECTURE.model_dump_json(), encoding="utf-8")
    assert architecture_of(tmp_path, None) == second_miniature.ARCHITECTURE
    assert architecture_of(tmp_path, "base") == PUBLISHED["base"]
    with pytest.raises(ArchitectureError, match="no known architecture"):
        architecture_of(tmp_path, "")


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"vision_encoder": None},
        {"qformer": {"width": 36}},
        {"image_size": 0},
        {"image_size": "100"},
        {"labels": []},
        {"labels": ["nose", "nose"]},
        {"family": "nobody"},
        {"language_model": {"folder": "a-t5", "dense_act_fn": "relu"}},
        {"vision_encoder": {"width": 40, "depth": 2, "heads": 7, "mlp_hidden": 97}},
        {"forgery_prompter": {"width": 24, "depth": 2, "heads": 5, "mlp_hidden": 52}},
        {"qformer": {"width": 36, "depth": 3, "heads": 5, "mlp_hidden": 50}},
        {"mask_decoder": {"heads": 3}},
        {"mask_decoder": {"heads": 8, "prompt_cross_attention_heads": 3}},
    ],
)
def test_an_architecture_that_is_wrong_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "architecture.json"
    described = json.loads(second_miniature.ARCHITECTURE.model_dump_json()) | change
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ArchitectureError) as caught:
        load_architecture(str(path))
    assert str(path) in caught.value.what
    assert next(iter(change)) in caught.value.found


@pytest.mark.parametrize("field", ["vision_encoder", "forgery_prompter", "qformer"])
def test_an_architecture_that_lacks_a_field_is_refused(tmp_path: Path, field: str) -> None:
    path = tmp_path / "architecture.json"
    described = json.loads(second_miniature.ARCHITECTURE.model_dump_json())
    del described[field]
    path.write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ArchitectureError) as caught:
        load_architecture(str(path))
    assert field in caught.value.found


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"family": "nano"}']
)
def test_what_is_no_architecture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "architecture.json"
    path.write_bytes(content)
    with pytest.raises(ArchitectureError):
        load_architecture(str(path))


@pytest.mark.parametrize("name", ["xxl", "", "nowhere.json", "."])
def test_an_architecture_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        load_architecture(name)
    assert "xl, base" in caught.value.expected
