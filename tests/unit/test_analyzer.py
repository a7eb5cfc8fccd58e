"""Arguments of the analyzer, and what it refuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import endless
import numpy as np
import pytest
from serving import face_png

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.errors import (
    AnalysisCancelledError,
    ArrayError,
    EngineRunError,
    OptionError,
    RegionError,
)

Edit = Callable[[Callable[[dict[str, Any]], None]], Path]


def test_regions_come_in_label_order_and_once(mini: Analyzer, face: Path) -> None:
    result = mini.analyze(face, regions=["nose", "eye", "nose"], report=False)
    assert [region.name for region in result.regions] == ["eye", "nose"]
    assert result.corrections == ("regions",)
    assert mini.analyze(face, regions=(), report=False).regions == ()


@pytest.mark.parametrize("regions", [["nose", "snout"], ["Nose"], "nose", ["snout"]])
def test_unknown_regions_are_refused(mini: Analyzer, face: Path, regions: Any) -> None:
    with pytest.raises(RegionError) as caught:
        mini.analyze(face, regions=regions)
    assert "dimple" in caught.value.expected
    assert caught.value.found == ("the string 'nose'" if regions == "nose" else regions[-1])


@pytest.mark.parametrize("device", [0, None, "CPU", "gpu", "cuda:-1"])
def test_what_is_no_device_is_refused(device: Any) -> None:
    with pytest.raises(OptionError, match="is no device") as caught:
        Analyzer(device=device)
    assert caught.value.found == repr(device)


@pytest.mark.parametrize("threads", [-1, 1.5, "2"])
def test_what_is_no_number_of_threads_is_refused(threads: Any) -> None:
    with pytest.raises(OptionError, match="threads") as caught:
        Analyzer(device="cpu", threads=threads)
    assert caught.value.found == repr(threads)


@pytest.mark.parametrize("pixels", [0, -1, 1.5, "9"])
def test_what_is_no_limit_of_pixels_is_refused(pixels: Any) -> None:
    with pytest.raises(OptionError, match="pixel limit"):
        Analyzer(device="cpu", max_pixels=pixels)


def test_the_language_is_no_name(mini_bundle: Path, face: Path) -> None:
    wrong: Any = "en"
    with Analyzer(mini_bundle, device="cpu", threads=1, language=wrong) as analyzer:
        with pytest.raises(OptionError, match="language") as caught:
            analyzer.analyze(face)
        assert caught.value.found == "'en'"


def test_without_a_report_the_language_model_does_not_run(mini: Analyzer, face: Path) -> None:
    result = mini.analyze(face, report=False)
    assert result.report is None
    assert result.report_ids == ()
    assert "mask_decoder" in result.timings
    assert not {"qformer", "language_encoder", "language_decoder"} & set(result.timings)


def test_the_bundle_says_how_reports_are_decoded(edited_bundle: Edit) -> None:
    bundle = edited_bundle(
        lambda manifest: manifest["generation"].update(max_new_tokens=7, beams=2)
    )
    with Analyzer(bundle, device="cpu") as analyzer:
        assert (analyzer.language.max_new_tokens, analyzer.language.beams) == (7, 2)
    own = ftsdk.Language(max_new_tokens=3)
    with Analyzer(bundle, device="cpu", language=own) as analyzer:
        assert analyzer.language == own


def test_the_language_may_be_replaced_between_calls(mini_bundle: Path, face: Path) -> None:
    with Analyzer(mini_bundle, device="cpu", threads=1) as analyzer:
        analyzer.language = ftsdk.Language(max_new_tokens=3)
        result = analyzer.analyze(face)
        assert len(result.report_ids) == 4
        analyzer.language = ftsdk.Language(max_new_tokens=5, min_length=9)
        assert len(analyzer.analyze(face).report_ids) == 6


def test_a_score_is_calibrated_and_cut_where_the_manifest_says(
    edited_bundle: Edit, face: Path
) -> None:
    score = {
        "tensor": "region_logits",
        "temperature": 2.0,
        "bias": -0.25,
        "operating_points": {"strict": 0.9, "balanced": 0.4},
        "default": "balanced",
    }
    bundle = edited_bundle(lambda manifest: manifest.update(score=score))
    with Analyzer(bundle, device="cpu") as analyzer:
        trace, result = analyzer.trace(face), analyzer.analyze(face, report=False)
    expected = 1 / (1 + np.exp(-(float(trace["region_logits"][0, 0]) / 2.0 - 0.25)))
    assert result.score == pytest.approx(expected, rel=1e-5)
    assert result.score_threshold == 0.4
    assert result.finding.startswith("Manipulation suspected") == (expected >= 0.4)


def test_a_threshold_decides_which_regions_are_named(edited_bundle: Edit, face: Path) -> None:
    for threshold in (0.0, 0.3, 1.0):
        bundle = edited_bundle(lambda m, t=threshold: m.update(region_threshold=t, name=f"at {t}"))
        with Analyzer(bundle, device="cpu") as analyzer:
            result = analyzer.analyze(face, report=False)
        expected = [name for name, p in result.region_probabilities.items() if p > threshold]
        assert [region.name for region in result.regions] == expected
        for path in bundle.rglob("*"):
            if path.is_file():
                path.unlink()


def test_time_that_is_up_ends_the_analysis(mini: Analyzer, face: Path) -> None:
    with pytest.raises(AnalysisCancelledError):
        mini.analyze(face, timeout=0.0)
    with pytest.raises(AnalysisCancelledError):
        list(mini.stream(face, timeout=1e-9))
    assert mini.analyze(face, timeout=600).report


def test_a_time_out_ends_a_stage_in_its_middle(served_bundle: Path, tmp_path: Path) -> None:
    mine = ftsdk.Cancellation()
    bundle = endless.write_bundle(served_bundle, tmp_path / "endless.bundle")
    with Analyzer(bundle, device="cpu") as analyzer:
        start = time.monotonic()
        with pytest.raises(AnalysisCancelledError, match="time-out"):
            analyzer.analyze(endless.WHITE, timeout=1, cancellation=mine)
        assert time.monotonic() - start >= 1
        assert not mine.cancelled
        assert analyzer.analyze(face_png(), timeout=600, cancellation=mine).report


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_time_out_that_makes_no_sense_is_refused(
    mini: Analyzer, face: Path, timeout: float
) -> None:
    with pytest.raises(OptionError) as caught:
        mini.analyze(face, timeout=timeout)
    assert caught.value.found == repr(timeout)


def test_a_closed_analyzer_says_so(mini_bundle: Path, face: Path) -> None:
    with Analyzer(mini_bundle, device="cpu") as analyzer:
        result = analyzer.analyze(face, report=False)
    with pytest.raises(EngineRunError, match="closed"):
        analyzer.analyze(face)
    analyzer.close()
    assert result.mask.shape == (90, 120)


def test_a_result_of_another_bundle_cannot_be_refined(
    mini: Analyzer, face: Path, edited_bundle: Edit
) -> None:
    with Analyzer(edited_bundle(lambda m: m.update(name="other")), device="cpu") as other:
        result = other.analyze(face, report=False)
    with pytest.raises(OptionError) as caught:
        mini.refine(result, regions=["nose"])
    assert caught.value.found == "other"


@pytest.mark.parametrize(
    "mask", [np.zeros((90, 120), np.uint8), np.zeros((120, 90), bool), np.zeros((224, 224), bool)]
)
def test_a_painted_mask_must_fit_the_picture(mini: Analyzer, face: Path, mask: Any) -> None:
    result = mini.analyze(face, report=False)
    with pytest.raises(ArrayError) as caught:
        mini.refine(result, mask=mask)
    assert caught.value.expected == "bool [90, 120]"


def test_every_kind_of_source_gives_the_same_answer(mini: Analyzer, face: Path) -> None:
    import cv2
    from PIL import Image

    pixels = cv2.imread(str(face))
    expected = mini.analyze(face)
    with face.open("rb") as file:
        sources = [str(face), face.read_bytes(), file, Image.open(face), pixels]
        answers = [mini.analyze(source) for source in sources]
    answers.append(mini.analyze(pixels[..., ::-1], color="rgb"))
    for answer in answers:
        np.testing.assert_array_equal(answer.probabilities, expected.probabilities)
        assert answer.report_ids == expected.report_ids


def test_the_trace_holds_every_named_tensor(mini: Analyzer, face: Path) -> None:
    trace = mini.trace(face)
    named = {
        "pixel_values", "region_logits", "image_embeds", "mask_logits", "qformer_ids",
        "qformer_output", "prompt", "prompt_ids", "encoder_output", "report_ids", "report",
    }  # fmt: skip
    assert named <= set(trace)
    assert trace["report_ids"].dtype == np.int64
    assert trace["report_ids"][0, 0] == 0
    assert trace["prompt"].startswith("The following facial areas")


def test_sampling_repeats_with_its_seed(mini_bundle: Path, face: Path) -> None:
    def ids(seed: int) -> tuple[int, ...]:
        language = ftsdk.Language(temperature=1.5, top_p=0.95, seed=seed, max_new_tokens=12)
        with Analyzer(mini_bundle, device="cpu", language=language) as analyzer:
            return analyzer.analyze(face).report_ids

    assert ids(1) == ids(1)
    assert len({ids(seed) for seed in range(4)}) > 1
