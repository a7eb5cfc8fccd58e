from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ft_eval.folders import FolderData
from ftsdk.errors import DataNotFoundError
from ftsdk.imaging.decode import PICTURE_SUFFIXES
from ftsdk.imaging.encode import write_png


def _picture(path: Path, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.full((20, 30, 3), level, np.uint8))


def test_folders_say_what_a_picture_is(tmp_path: Path) -> None:
    _picture(tmp_path / "plain/agency/a.png")
    _picture(tmp_path / "plain/b.png")
    _picture(tmp_path / "forged/swap/c.png")
    _picture(tmp_path / "forged/swap/d.png")
    (tmp_path / "forged/notes.txt").write_text("no picture")
    _picture(tmp_path / "masks/swap/c.png", 255)
    data = FolderData([tmp_path / "plain"], [tmp_path / "forged"], tmp_path / "masks")
    assert [(r.source, r.forged, r.attribute) for r in data.records] == [
        ("agency", False, None),
        ("plain", False, None),
        ("swap", True, "swap"),
        ("swap", True, "swap"),
    ]
    masks = [data.mask(record) for record in data.records]
    assert [mask is not None for mask in masks] == [False, False, True, False]
    assert data.picture(data.records[0]).pixels.shape == (20, 30, 3)
    assert (len(data.forged), len(data.masked)) == (2, 1)


def test_masks_that_fit_no_picture_are_an_error(tmp_path: Path) -> None:
    _picture(tmp_path / "forged/a.png")
    _picture(tmp_path / "masks/a_mask.png", 255)
    with pytest.raises(DataNotFoundError, match="masks") as caught:
        FolderData([], [tmp_path / "forged"], tmp_path / "masks")
    assert "1 forged" in caught.value.found


def test_no_format_that_is_read_is_passed_over(tmp_path: Path) -> None:
    for suffix in PICTURE_SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"")
    assert len(FolderData([tmp_path]).records) == len(PICTURE_SUFFIXES)


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_pictures_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match=name):
        FolderData([tmp_path / name])
