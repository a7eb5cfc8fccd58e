"""Bundles that are incomplete, altered, hostile or from another time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from raising import raised

from ftsdk.bundle import open_bundle
from ftsdk.errors import (
    BundleError,
    BundleFileAlteredError,
    BundleFileMissingError,
    BundleNotFoundError,
    BundlePathError,
    ManifestError,
    ManifestVersionError,
)

GRAPH = "graphs/vision_encoder.onnx"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle.write(tmp_path / "tiny.bundle")


def refusal(path: Path, kind: type[BundleError]) -> BundleError:
    """Return the error of opening `path`."""
    return raised(kind, lambda: open_bundle(path))


def test_a_whole_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(str(bundle))
    assert opened.manifest.name == "tiny"
    assert opened.file(GRAPH).read_bytes() == tiny_bundle.FILES[GRAPH]
    assert opened.sha256 == open_bundle(bundle).sha256


@pytest.mark.parametrize("place", ["nowhere", "", "file"])
def test_no_bundle_is_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    error = refusal(tmp_path / place, BundleNotFoundError)
    assert str(tmp_path) in error.what
    assert "ft-export" in error.cure


@pytest.mark.parametrize("name", tiny_bundle.FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert name in refusal(bundle, BundleFileMissingError).expected


EXTRA = ["README.md", ".gitattributes", ".cache/huggingface/x.lock", "graphs/evil.onnx.data"]


def test_what_a_hub_adds_is_never_opened(bundle: Path) -> None:
    before = open_bundle(bundle).sha256
    for name in EXTRA:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(bundle / name)  # whoever opened it would wait
    (bundle / "elsewhere").symlink_to("/")
    opened = open_bundle(bundle)
    assert opened.sha256 == before
    assert not opened.seals.keys() & {*EXTRA}


@given(data=st.data())
@settings(max_examples=60)
def test_one_flipped_bit_anywhere_is_seen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(tiny_bundle.FILES)))
    bit = data.draw(st.integers(0, len(tiny_bundle.FILES[name]) * 8 - 1))
    root = tiny_bundle.write(tmp_path_factory.mktemp("flipped"))
    content = bytearray(tiny_bundle.FILES[name])
    content[bit // 8] ^= 1 << bit % 8
    (root / name).write_bytes(content)
    error = refusal(root, BundleFileAlteredError)
    assert name in error.what
    assert "SHA-256" in error.expected


@pytest.mark.parametrize("length", [0, 1, len(tiny_bundle.FILES[GRAPH]) - 1])
def test_a_truncated_file_is_seen(bundle: Path, length: int) -> None:
    (bundle / GRAPH).write_bytes(tiny_bundle.FILES[GRAPH][:length])
    error = refusal(bundle, BundleFileAlteredError)
    assert error.found == f"{length} bytes"


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, [1], 1.5, True])
def test_another_manifest_version_is_refused_before_its_fields_are_read(
    tmp_path: Path, version: object
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest.clear()
        manifest |= {"manifest_version": version, "fields": "of another time"}

    error = refusal(tiny_bundle.write(tmp_path, change), ManifestVersionError)
    assert error.expected == "1"
    assert error.found == repr(version)


HOSTILE_PATHS = [
    "/etc/passwd",
    "../outside",
    "graphs/../../outside",
    "graphs/../graphs/vision_encoder.onnx",
    "graphs\\vision_encoder.onnx",
    "C:\\windows",
    "C:/windows",
    "./graphs/vision_encoder.onnx",
    "graphs//vision_encoder.onnx",
    "graphs/",
    "",
    ".",
    "manifest.json",
    "nul\0byte",
    "x" * 5000,
]


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_listed_path_may_not_leave_the_bundle(tmp_path: Path, path: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][path] = manifest["files"][GRAPH]

    error = refusal(tiny_bundle.write(tmp_path / "b", change), BundlePathError)
    assert repr(path)[:40] in error.found


@pytest.mark.parametrize("path", HOSTILE_PATHS)
@pytest.mark.parametrize(
    "place",
    [
        ("stages", "vision_encoder", "graph"),
        ("language", "token_embeddings"),
        ("qformer_tokenizer", "file"),
        ("golden_picture",),
    ],
)
def test_a_used_path_may_not_leave_the_bundle(
    tmp_path: Path, place: tuple[str, ...], path: str
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for key in place[:-1]:
            manifest = manifest[key]
        manifest[place[-1]] = path

    refusal(tiny_bundle.write(tmp_path / "b", change), BundlePathError)


def test_a_file_may_be_a_link_to_where_a_hub_keeps_it(bundle: Path, tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for name in (*tiny_bundle.FILES, "manifest.json"):
        blob = blobs / name.replace("/", "-")
        (bundle / name).rename(blob)
        (bundle / name).symlink_to(os.path.relpath(blob, (bundle / name).parent))
    assert open_bundle(bundle).read(GRAPH) == tiny_bundle.FILES[GRAPH]
    (blobs / GRAPH.replace("/", "-")).write_bytes(b"x" * len(tiny_bundle.FILES[GRAPH]))
    refusal(bundle, BundleFileAlteredError)


@pytest.mark.parametrize("place", ["manifest.json", GRAPH])
@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "pipe"])
def test_a_link_to_what_is_no_file_is_refused_unread(
    bundle: Path, tmp_path: Path, place: str, target: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (bundle / place).unlink()
    (bundle / place).symlink_to(tmp_path / target)
    with pytest.raises(BundleError):
        open_bundle(bundle)


def test_a_pipe_as_manifest_is_not_waited_for(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    os.mkfifo(bundle / "manifest.json")
    assert "regular" in refusal(bundle, BundleNotFoundError).found


def test_an_enormous_manifest_is_not_read(bundle: Path) -> None:
    with (bundle / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    assert "MiB" in refusal(bundle, ManifestError).found


def test_a_linked_directory_may_not_leave_the_bundle(bundle: Path, tmp_path: Path) -> None:
    (bundle / "graphs").rename(tmp_path / "graphs")
    (bundle / "graphs").symlink_to(tmp_path / "graphs")
    refusal(bundle, BundlePathError)


def test_links_that_lead_nowhere_are_refused(bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    (bundle / GRAPH).symlink_to(bundle / "graphs/gone.onnx")
    refusal(bundle, BundleFileMissingError)
    (bundle / GRAPH).unlink()
    (bundle / GRAPH).symlink_to(bundle / GRAPH)
    with pytest.raises(BundleError):
        open_bundle(bundle)


def test_what_is_no_plain_file_is_refused_unread(bundle: Path) -> None:
    (bundle / GRAPH).unlink()
    os.mkfifo(bundle / GRAPH)
    refusal(bundle, BundleFileMissingError)
    (bundle / GRAPH).unlink()
    (bundle / GRAPH).mkdir()
    refusal(bundle, BundleFileMissingError)


def delete(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        del manifest[path[-1]]

    return change


def put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


@pytest.mark.parametrize("field", sorted(set(tiny_bundle.manifest()) - {"manifest_version"}))
def test_every_field_is_needed(tmp_path: Path, field: str) -> None:
    assert field in refusal(tiny_bundle.write(tmp_path, delete(field)), ManifestError).found


@pytest.mark.parametrize(
    "change",
    [
        put(1, "unknown"),
        put("a", "preprocessing", "unknown"),
        put([], "stages", "qformer", "unknown"),
        put("float64", "stages", "qformer", "precision"),
        put(1.5, "mask_threshold"),
        put(float("nan"), "mask_threshold"),
        put(0, "mask_size"),
        put("8", "mask_size"),
        put("G" * 64, "files", GRAPH, "sha256"),
        put(-1, "files", GRAPH, "size"),
        put(0, "generation", "beams"),
        put(0.0, "generation", "repetition_penalty"),
        put([0.5, 0.5], "preprocessing", "mean"),
        put([0.5, 0.0, 0.5], "preprocessing", "std"),
        put(1 << 40, "preprocessing", "size"),
        put(1 << 60, "language", "layers"),
        put(1 << 60, "language", "heads"),
        put(1 << 60, "language", "d_kv"),
        put(1 << 60, "language", "vocabulary"),
        put(1 << 60, "language_tokenizer", "max_tokens"),
        put(1 << 60, "region_tokens"),
        put(1 << 60, "mask_size"),
        put([], "labels"),
        put(["eye", "eye", "lip"], "labels"),
        put("nobody", "score", "default"),
        put("no_tensor", "score", "tensor"),
        put(0.0, "score", "temperature"),
        put(None, "stages"),
        delete("stages", "qformer"),
        put({"graph": GRAPH, "inputs": [], "outputs": []}, "stages", "extra_stage"),
        put(["tomorrow"], "stages", "mask_decoder", "inputs"),
        put(["other"], "stages", "mask_decoder", "outputs"),
        put(["mask_logits"], "stages", "vision_encoder", "inputs"),
        put(5, "language", "end_token"),
        put(-1, "language", "start_token"),
        delete("files", GRAPH),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    refusal(tiny_bundle.write(tmp_path, change), ManifestError)


def test_a_field_that_is_there_twice_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"labels"', '"name": "twice", "labels"', 1), encoding="utf-8")
    assert "name" in refusal(bundle, ManifestError).found


NO_MANIFESTS = {
    "empty": b"",
    "zeros": bytes(64),
    "text": b"this is no JSON",
    "cut": json.dumps(tiny_bundle.manifest()).encode()[:-1],
    "a list": b"[1, 2]",
    "a number": b"1",
    "null": b"null",
    "latin-1": json.dumps({"manifest_version": 1}).encode() + b"\xe9",
    "utf-16": json.dumps(tiny_bundle.manifest()).encode("utf-16"),
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep value": b'{"manifest_version": 1, "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge number": b'{"manifest_version": ' + b"1" * 10_000 + b"}",
    "surrogate": b'{"manifest_version": 1, "\\ud800": 1}',
    "trailing": json.dumps(tiny_bundle.manifest()).encode() + b"{}",
}


@pytest.mark.parametrize("content", NO_MANIFESTS.values(), ids=NO_MANIFESTS)
def test_what_is_no_manifest_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    refusal(bundle, ManifestError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write(tmp_path_factory.mktemp("victim"))


def opens_or_is_refused(root: Path, content: bytes) -> None:
    (root / "manifest.json").write_bytes(content)
    with suppress(BundleError):
        open_bundle(root)


@settings(max_examples=80)
@given(content=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_bundle_errors(victim: Path, content: bytes) -> None:
    opens_or_is_refused(victim, content)


@settings(max_examples=120)
@given(data=st.data(), value=json_values)
def test_random_values_in_the_manifest_raise_nothing_but_bundle_errors(
    victim: Path, data: st.DataObject, value: object
) -> None:
    manifest = tiny_bundle.manifest()
    place: Any = manifest
    key = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict) and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = value
    opens_or_is_refused(victim, json.dumps(manifest).encode())


@settings(max_examples=120)
@given(data=st.data())
def test_damaged_manifests_raise_nothing_but_bundle_errors(
    victim: Path, data: st.DataObject
) -> None:
    content = bytearray(json.dumps(tiny_bundle.manifest()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    opens_or_is_refused(victim, bytes(content))
