"""The engine cache: nothing but what was built, for what it was built, reaches a runtime."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ftsdk.bundle import open_bundle
from ftsdk.engines.cache import EngineCache, EngineKey, graph_sha256
from ftsdk.engines.profile import described, profile_of
from ftsdk.errors import EngineCacheError, EngineMismatchError, EngineMissingError
from ftsdk.strict import read
from ftsdk.trust import NANO

PLAN = np.random.default_rng(8).bytes(3001)


def key(**changed: object) -> EngineKey:
    usual = {
        "stage": "qformer",
        "graph_sha256": "a" * 64,
        "runtime": "tensorrt_rtx 1.7.1.116",
        "gpu": "sm_89",
        "precision": "float16",
        "profile": "batch 1/1/1",
    }
    return read(EngineKey, usual | changed)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "m.bundle.engines")
    cache.store(key(), PLAN, 1.5)
    return cache


def files(cache: EngineCache, wanted: EngineKey) -> tuple[Path, Path]:
    return cache.folder / f"{wanted.name}.plan", cache.folder / f"{wanted.name}.json"


def test_a_plan_comes_back_as_it_was(cache: EngineCache) -> None:
    assert cache.load(key()) == PLAN
    (record,) = cache.records()
    assert (record.key, record.size, record.build_seconds) == (key(), len(PLAN), 1.5)


def test_the_directory_is_private_and_has_to_stay_so(cache: EngineCache) -> None:
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    cache.folder.chmod(0o770)
    with pytest.raises(EngineCacheError, match="0770"):
        cache.load(key())
    with pytest.raises(EngineCacheError):
        cache.store(key(gpu="sm_86"), PLAN, 1.0)


@pytest.mark.parametrize("length", [0, 1, len(PLAN) // 2, len(PLAN) - 1])
def test_a_truncated_plan_is_refused(cache: EngineCache, length: int) -> None:
    plan, _ = files(cache, key())
    plan.write_bytes(PLAN[:length])
    with pytest.raises(EngineCacheError) as caught:
        cache.load(key())
    assert f"{length} bytes" in caught.value.found
    assert "ft-doctor --clear-engines" in caught.value.cure


def test_one_flipped_bit_is_refused_wherever_it_is(cache: EngineCache) -> None:
    plan, _ = files(cache, key())
    for place in np.linspace(0, len(PLAN) * 8 - 1, 200).astype(int):
        spoiled = bytearray(PLAN)
        spoiled[place // 8] ^= 1 << place % 8
        plan.write_bytes(spoiled)
        with pytest.raises(EngineCacheError, match="SHA-256"):
            cache.load(key())
    plan.write_bytes(PLAN)
    assert cache.load(key()) == PLAN


def test_swapped_plans_and_swapped_pairs_are_refused(cache: EngineCache) -> None:
    other = key(stage="mask_decoder")
    cache.store(other, PLAN[::-1], 1.0)
    (plan, record), (other_plan, other_record) = files(cache, key()), files(cache, other)
    _swap(plan, other_plan)
    with pytest.raises(EngineCacheError, match="SHA-256"):
        cache.load(key())
    _swap(record, other_record)
    with pytest.raises(EngineCacheError, match="mask_decoder"):
        cache.load(key())


def _swap(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gpu", "sm_120"),
        ("runtime", "tensorrt_rtx 1.8.0.1"),
        ("graph_sha256", "b" * 64),
        ("precision", "int8"),
        ("profile", "batch 1/4/8"),
        ("recipe", 2),
    ],
)
def test_a_plan_for_something_else_is_named_with_the_command(
    cache: EngineCache, field: str, value: object
) -> None:
    with pytest.raises(EngineMismatchError) as caught:
        cache.load(key(**{field: value}))
    error = caught.value
    assert f"{field} {str(value)[:12]}" in error.expected
    assert f"built for {field}" in error.found
    assert str(getattr(key(), field))[:12] in error.found
    assert f"ft-export {cache.folder.parent / 'm.bundle'} --engines" in error.cure


def test_a_stage_without_any_plan_is_missing(cache: EngineCache, tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="--engines sm_89"):
        cache.load(key(stage="mask_decoder"))
    with pytest.raises(EngineMissingError):
        EngineCache(tmp_path / "none.engines").load(key())


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04", b'{"size": 1}'])
def test_a_damaged_record_is_refused(cache: EngineCache, content: bytes) -> None:
    _, record = files(cache, key())
    record.write_bytes(content)
    with pytest.raises(EngineCacheError, match=record.name):
        cache.load(key())


def test_a_record_may_not_have_more_fields(cache: EngineCache) -> None:
    _, path = files(cache, key())
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"more": 1}))
    with pytest.raises(EngineCacheError, match="more"):
        cache.load(key())


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "e", max_bytes=3 * len(PLAN))
    gpus = ["sm_75", "sm_80", "sm_86"]
    for age, gpu in enumerate(gpus):
        cache.store(key(gpu=gpu), PLAN, 1.0)
        os.utime(files(cache, key(gpu=gpu))[0], (age, age))
    cache.load(key(gpu="sm_75"))
    cache.store(key(gpu="sm_89"), PLAN, 1.0)
    assert {record.key.gpu for record in cache.records()} == {"sm_75", "sm_86", "sm_89"}
    tight = EngineCache(cache.folder, max_bytes=1)
    tight.store(key(gpu="sm_120"), PLAN, 1.0)
    assert [record.key.gpu for record in tight.records()] == ["sm_120"]


def test_clearing_follows_no_link(cache: EngineCache, tmp_path: Path) -> None:
    elsewhere = tmp_path / "strangers"
    cache.folder.rename(elsewhere)
    cache.folder.symlink_to(elsewhere)
    before = sorted(elsewhere.iterdir())
    with pytest.raises(EngineCacheError, match="a link"):
        cache.clear()
    with pytest.raises(EngineCacheError, match="a link"):
        cache.load(key())
    assert sorted(elsewhere.iterdir()) == before
    cache.folder.unlink()
    cache.folder.symlink_to(tmp_path / "nowhere")
    with pytest.raises(EngineCacheError, match="a link"):
        cache.clear()


def test_clearing_deletes_only_what_a_cache_writes(cache: EngineCache, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.json"
    stranger.write_text("{}", encoding="utf-8")
    kept = [cache.folder / name for name in ("package.json", "my.plan", "a.timings", "x.json.bak")]
    for path in kept:
        path.write_text("mine", encoding="utf-8")
    link = cache.folder / f"{key(gpu='sm_86').name}.json"
    link.symlink_to(stranger)
    cache.store_timings("tensorrt 10", "sm_89", b"learnt")
    cache.clear()
    assert sorted(cache.folder.iterdir()) == sorted([*kept, link])
    assert stranger.exists()


def test_clearing_says_what_it_freed_and_leaves_other_files(cache: EngineCache) -> None:
    (cache.folder / "notes.txt").write_text("mine", encoding="utf-8")
    assert cache.clear() > len(PLAN)
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]
    (cache.folder / "notes.txt").unlink()
    assert cache.clear() == 0
    assert not cache.folder.exists()


def test_the_cache_lies_beside_the_bundle_which_stays_whole(tmp_path: Path) -> None:
    bundle = open_bundle(shutil.copytree(NANO, tmp_path / "n.bundle"))
    cache = EngineCache.beside(bundle)
    cache.store(key(graph_sha256=graph_sha256(bundle, "qformer")), PLAN, 1.0)
    assert cache.folder == tmp_path / "n.bundle.engines"
    open_bundle(bundle.path)


def test_the_profile_covers_every_prompt_and_report() -> None:
    bundle = open_bundle(NANO)
    profile = profile_of(bundle)
    text = bundle.manifest.language_tokenizer.max_tokens
    assert profile["text"] == (1, 64, text)
    assert profile["source"][2] - profile["source"][0] == text - 1
    assert profile["slots"][2] == profile["beams"][2] * profile["length"][2]
    assert profile["height"] == profile["width"] == (32, 320, 320)
    assert profile["length"][2] >= bundle.manifest.generation.max_new_tokens
    assert described(profile) == described(dict(reversed(profile.items())))
