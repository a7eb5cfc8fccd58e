"""`ft-eval` on a folder in MMTT's layout: a photograph with a drawn mask, and what can go wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result
from skimage import data
from typer.testing import CliRunner

from ft_eval.cli import app
from ft_eval.evaluate import SCHEMA_VERSION
from ft_eval.metrics import mask_scores, predicted_mask
from ft_eval.robustness import DISTORTIONS
from ftsdk.analyzer import Analyzer
from ftsdk.imaging.encode import write_png

FAMILIES = ("face_swap", "face_swap", "retouching", "untouched")


@pytest.fixture(scope="module")
def mmtt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mmtt")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    face = np.ascontiguousarray(data.astronaut()[0:220, 110:330, ::-1])
    records = []
    for number, family in enumerate(FAMILIES):
        picture, truth = face.copy(), np.zeros((110, 110), np.uint8)
        if family != "untouched":
            centre = (40 + 10 * number, 60)
            cv2.circle(truth, centre, 18, 1, -1)
            large = cv2.resize(truth, (220, 220), interpolation=cv2.INTER_NEAREST) > 0
            picture[large] = cv2.GaussianBlur(picture, (9, 9), 0)[large]
        write_png(folder / f"images/{number}.png", picture)
        write_png(folder / f"masks/{number}.png", truth)
        records.append(
            {
                "image_id": f"{number}",
                "instance_id": number,
                "img_path": f"images/{number}.png",
                "mask_path": f"masks/{number}.png",
                "caption": "The nose looks blurred and its edges are soft.",
                "multilabel": [0, 0, 0, 0, int(family != "untouched"), *[0] * 16],
                "attribute": family,
            }
        )
    (folder / "test.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def evaluated(mini_bundle: Path, mmtt: Path) -> dict[str, Any]:
    done = _run("--bundle", mini_bundle, "--data", mmtt, "--robustness", "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_every_family_and_the_total(evaluated: dict[str, Any]) -> None:
    assert evaluated["schema_version"] == SCHEMA_VERSION
    families = evaluated["families"]
    assert {name: families[name]["pictures"] for name in families} == {
        "face_swap": 2,
        "retouching": 1,
        "untouched": 1,
    }
    assert (evaluated["total"]["pictures"], evaluated["total"]["forged"]) == (4, 3)
    assert families["untouched"]["iou"] is None
    assert set(evaluated["total"]["text"]) >= {"cider", "bleu_4", "rouge_l", "meteor"}
    assert evaluated["failures"] == []


def test_the_published_kind_of_model_has_no_score(evaluated: dict[str, Any]) -> None:
    assert evaluated["bundle"]["score_threshold"] is None
    for figure in ("auc", "found", "false_positive_rate", "calibration_error"):
        assert evaluated["total"][figure] is None


def test_masks_are_those_of_the_analyzer(
    evaluated: dict[str, Any], mini: Analyzer, mmtt: Path
) -> None:
    scores = []
    for number in range(3):
        found = mini.analyze(mmtt / f"images/{number}.png", report=False).probabilities
        truth = cv2.imread(str(mmtt / f"masks/{number}.png"), cv2.IMREAD_GRAYSCALE)
        assert truth is not None
        scores.append(mask_scores(predicted_mask(found, 110, 110), truth > 0))
    for figure in ("iou", "precision", "recall", "f1"):
        expected = np.mean([getattr(score, figure) for score in scores])
        assert evaluated["total"][figure] == pytest.approx(expected)


def test_every_distortion_is_evaluated_without_reports(evaluated: dict[str, Any]) -> None:
    assert list(evaluated["robustness"]) == list(DISTORTIONS)
    for summary in evaluated["robustness"].values():
        assert summary["pictures"] == 4
        assert summary["iou"] is not None
        assert summary["text"] is None


def test_the_tables(mini_bundle: Path, mmtt: Path) -> None:
    done = _run("--bundle", mini_bundle, "--data", mmtt / "test.json", "--limit", "2")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    for word in ("face_swap", "retouching", "total", "IoU", "CIDEr", "METEOR"):
        assert word in done.stdout


def test_without_reports(mini_bundle: Path, mmtt: Path) -> None:
    done = _run("--bundle", mini_bundle, "--data", mmtt, "--no-report", "--json")
    total = json.loads(done.stdout)["total"]
    assert (total["text"], total["report_agreement"], total["report_names_part"]) == (None,) * 3
    assert total["iou"] is not None


def test_a_missing_picture_is_reported_and_the_rest_evaluated(
    mini_bundle: Path, mmtt: Path, tmp_path: Path
) -> None:
    records = json.loads((mmtt / "test.json").read_text())[:2]
    for record in records:
        record["img_path"] = str(mmtt / record["img_path"])
        record["mask_path"] = str(mmtt / record["mask_path"])
    records[1]["img_path"] = "gone.png"
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(map(json.dumps, records)))
    done = _run("--bundle", mini_bundle, "--data", file, "--no-report", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["total"]["pictures"] == 1
    assert [failure["class"] for failure in answer["failures"]] == ["ImageNotFoundError"]
    assert "1 of 2 pictures are in no figure" in done.stderr


def test_no_picture_at_all(mini_bundle: Path, mmtt: Path, tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text((mmtt / "test.json").read_text())
    done = _run("--bundle", mini_bundle, "--data", tmp_path)
    assert done.exit_code == 1
    assert "img_path and mask_path are relative" in done.stderr


def test_exit_codes_of_wrong_use_and_wrong_data(
    mini_bundle: Path, mmtt: Path, tmp_path: Path
) -> None:
    assert _run("--bundle", mini_bundle).exit_code == 2
    assert _run("--bundle", mini_bundle, "--data", tmp_path / "gone").exit_code == 2
    assert _run("--bundle", mini_bundle, "--data", mmtt, "--limit", "0").exit_code == 2
    assert _run("--bundle", mini_bundle, "--data", mmtt, "--device", "abacus").exit_code == 2
    assert _run("--bundle", mini_bundle, "--data", tmp_path).exit_code == 1
    assert _run("--bundle", tmp_path, "--data", mmtt).exit_code == 1


def test_a_missing_package_has_its_cure(
    mini_bundle: Path, mmtt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "nltk" or name in (
            "ft_eval.evaluate",
            "ft_eval.outcomes",
            "ft_eval.text_metrics",
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nltk", None)
    done = _run("--bundle", mini_bundle, "--data", mmtt)
    assert done.exit_code == 2
    assert 'pip install "ftsdk[eval]"' in done.stderr


def test_help_has_an_example() -> None:
    assert "Example: ft-eval --bundle" in _run("--help").stdout


def test_folders_of_pictures_and_their_sources(tmp_path: Path) -> None:
    portrait = Path("examples/pictures")
    for name, folder in (("portrait.jpg", "plain/nasa"), ("portrait_forged.jpg", "forged")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_bytes((portrait / name).read_bytes())
    done = _run(
        "--untouched", tmp_path / "plain", "--forged", tmp_path / "forged", "--json", "--no-report"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert list(figures["sources"]) == ["nasa"]
    assert figures["sources"]["nasa"]["pictures"] == 1
    assert (figures["total"]["forged"], figures["total"]["iou"]) == (1, None)
    assert figures["total"]["found_at_5"] is None  # one untouched picture tells no rate
    assert len(figures["total"]["intervals"]["false_positive_rate"]) == 2


def test_one_data_set_is_needed() -> None:
    done = _run("--json")
    assert done.exit_code == 2
    assert "--untouched" in done.output
