"""What a watch is made of: sources, the journal, followed faces, change."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from ftsdk.analyzer import Analyzer
from ftsdk.errors import OptionError, SourceLostError, SourceNotFoundError
from ftsdk.imaging.faces import FaceFramer
from ftsdk.imaging.framing import Box
from ftsdk.streaming.change import ChangeDetector
from ftsdk.streaming.following import FaceFollower, steadied
from ftsdk.streaming.journal import Journal
from ftsdk.streaming.sources import Capture, Frames, LiveFrames, Pictures, open_source


def names(source: Any, done: set[str] | None = None) -> list[str]:
    return [shot.name for shot in open_source(source, done or set()).frames()]


def test_a_folder_gives_its_pictures_by_name_and_leaves_out_what_is_done(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == ["a.JPG", "b.png", "sub/c.webp"]
    assert names(tmp_path, {"b.png"}) == ["a.JPG", "sub/c.webp"]
    assert [shot.image for shot in open_source(tmp_path / "b.png").frames()] == [tmp_path / "b.png"]


def test_sources_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"")
    kinds = {
        "rtsp://user:secret@camera/1": Capture,
        0: Capture,
        tmp_path / "video.mp4": Capture,
        str(tmp_path): Pictures,
        ("a.png", "b.png"): Frames,
    }
    for source, kind in kinds.items():
        assert type(open_source(source)) is kind
    assert type(open_source(list)) is LiveFrames
    live = [open_source(s).live for s in ("rtsp://camera/1", 0, tmp_path / "video.mp4")]
    assert live == [True, True, False]


def test_an_address_is_named_without_its_password() -> None:
    assert open_source("rtsp://user:secret@camera/1").name == "rtsp://camera/1"


@pytest.mark.parametrize("wrong", [np.zeros((9, 9, 3), np.uint8), b"bytes", None, 1.5])
def test_what_is_no_source_is_refused(wrong: Any) -> None:
    with pytest.raises(OptionError):
        open_source(wrong)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path / "nothing.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(SourceNotFoundError):
        list(open_source(tmp_path / "empty.mp4").frames())


def test_an_iterator_that_breaks_is_a_lost_source() -> None:
    frames = (1 // number for number in (1, 0))
    with pytest.raises(SourceLostError, match="ZeroDivisionError"):
        list(open_source(frames).frames())


@settings(max_examples=30)
@given(done=st.lists(st.text(), max_size=6), cut=st.integers(0, 8))
def test_a_journal_remembers_what_was_written_whole(
    tmp_path_factory: pytest.TempPathFactory, done: list[str], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "done"
    with Journal(path) as journal:
        for name in done:
            journal.note(name)
    content = path.read_bytes()
    path.write_bytes(content[: max(0, len(content) - cut)])
    with Journal(path) as journal:
        whole = journal.done
        journal.note("next")
    assert whole <= set(done)
    assert whole >= set(done if cut == 0 else done[: max(0, len(done) - cut)])
    with Journal(path) as journal:
        assert journal.done == whole | {"next"}


@given(
    x=st.integers(-3, 3), y=st.integers(-3, 3), side=st.integers(94, 106), far=st.integers(15, 90)
)
def test_the_detectors_noise_moves_no_box_and_a_step_does(
    x: int, y: int, side: int, far: int
) -> None:
    last = Box(50, 60, 100)
    middle = Box(50 + x + (100 - side) // 2, 60 + (100 - side) // 2, side)
    if abs(x) <= 2 and side % 2 == 0:
        assert steadied(last, middle) is last
    moved = Box(50 + far, 60 + y, 100)
    assert steadied(last, moved) is moved


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def framer() -> FaceFramer:
    framer = Analyzer(device="cpu").chain.framer
    assert isinstance(framer, FaceFramer)
    return framer


def test_a_face_that_trembles_keeps_its_box_and_a_cut_moves_it(
    framer: FaceFramer, astronaut: np.ndarray
) -> None:
    follow = FaceFollower(framer)
    random = np.random.default_rng(3)
    noisy = (
        np.clip(astronaut + random.normal(0, 4, astronaut.shape), 0, 255).astype(np.uint8)
        for _ in range(4)
    )
    first = follow(astronaut).box
    assert first is not None
    assert {follow(frame).box for frame in noisy} == {first}
    moved = follow(np.roll(astronaut, (40, 200), axis=(0, 1))).box
    assert moved is not None
    assert abs(moved.x - first.x - 200) < 0.1 * first.side
    assert abs(moved.y - first.y - 40) < 0.1 * first.side


def test_a_face_that_is_hidden_for_a_moment_is_waited_for(
    framer: FaceFramer, astronaut: np.ndarray
) -> None:
    follow = FaceFollower(framer)
    first = follow(astronaut).box
    assert first is not None
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 0.08 * first.side)
    assert framer.boxes(blurred) == []
    hidden = [follow(blurred).box for _ in range(7)]
    assert hidden == [first] * 5 + [None] * 2
    assert follow(astronaut).box == first


def test_after_a_cut_no_face_is_where_one_was(framer: FaceFramer, astronaut: np.ndarray) -> None:
    scenes = [
        np.full_like(astronaut, 90),
        np.zeros_like(astronaut),
        cv2.resize(cv2.cvtColor(skimage.data.coffee(), cv2.COLOR_RGB2BGR), (512, 512)),
    ]
    for scene in scenes:
        follow = FaceFollower(framer)
        assert follow(astronaut).box is not None
        assert follow(scene).box is None
        assert follow(astronaut).box is not None


def test_every_face_is_followed(framer: FaceFramer, astronaut: np.ndarray) -> None:
    smaller = cv2.resize(astronaut, (320, 320), interpolation=cv2.INTER_AREA)
    both = cv2.hconcat([astronaut, cv2.copyMakeBorder(smaller, 100, 92, 0, 0, cv2.BORDER_REFLECT)])
    follow = FaceFollower(framer)
    assert len(follow(astronaut).faces) == 1
    follow = FaceFollower(framer)
    first = [face.box for face in follow(both).faces]
    assert len(first) == 2
    moved = [face.box for face in follow(np.roll(both, 2, axis=1)).faces]
    assert moved == first
    alone = cv2.rectangle(both.copy(), (512, 0), (832, 512), (90, 90, 90), -1)
    assert [face.box for face in follow(alone).faces] == first[:1]
    for _ in range(40):
        again = [face.box for face in follow(both).faces]
    assert len(again) == 2
    swapped = [face.box for face in follow(both[:, ::-1].copy()).faces]
    assert sorted(box.side for box in swapped if box) == pytest.approx(
        sorted(box.side for box in first if box), rel=0.1
    )


def answer(names: list[str], mask: np.ndarray, others: tuple[Any, ...] = ()) -> Any:
    regions = [SimpleNamespace(name=name) for name in names]
    return SimpleNamespace(
        regions=regions, others=others, probabilities=mask.astype(np.float32), mask_threshold=0.5
    )


def test_only_other_regions_or_another_mask_are_a_change() -> None:
    mask = np.zeros((64, 64))
    mask[10:30, 10:30] = 1
    shifted, elsewhere = np.roll(mask, 2, axis=1), np.roll(mask, 30, axis=1)
    speck = np.zeros((64, 64))
    changes = ChangeDetector()
    seen = [
        changes.changed(answer(names, where))
        for names, where in (
            (["eye"], mask), (["eye"], mask), (["eye"], shifted), (["eye", "nose"], shifted),
            (["nose", "eye"], mask), (["eye", "nose"], elsewhere), ([], speck), ([], speck),
        )
    ]  # fmt: skip
    assert seen == [True, False, False, True, False, True, True, False]


def test_faces_that_change_their_order_are_no_change() -> None:
    mask, changes = np.ones((64, 64)), ChangeDetector()
    one, other = answer(["eye"], mask), answer(["nose"], mask)
    assert changes.changed(answer(["eye"], mask, (other,)))
    assert not changes.changed(answer(["nose"], mask, (one,)))
    assert changes.changed(answer(["nose"], mask, (other,)))
