from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ft_forge import FAMILIES, LABELS, UNTOUCHED, FaceSet, Forge
from ft_forge.degrade import add_noise, jpeg
from ft_forge.framing import face_box
from ft_forge.geometry import Geometry
from ft_forge.words import all_sentences
from ft_training import history
from ft_training.batches import TRAINING_MIX, _corner, view
from ft_training.calibration import (
    calibrate,
    fit_temperature,
    likelihood,
    logit_of,
    unsure_scores,
)
from ft_training.features import covered_regions
from ft_training.fitting import Judged, _judged, _mask_logits, lowest_quality, silencing_fall
from ft_training.history import _program_steps, apply, draw_history, save_step
from ft_training.language import build_tokenizer, prompt_for
from ft_training.model import Nano, Seen, conditioning, keep_exact, normalised
from ft_training.samples import (
    LOW_QUALITIES,
    TREATMENTS,
    Sample,
    training_samples,
    untouched,
    validation_forgeries,
)
from ft_training.text import sentence
from ft_training.views import SIDE, Target, see, seen_geometry, truth, window
from ftsdk.decision import EMPTY_SHARE
from ftsdk.imaging.preprocess import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.unit.forge.forge_faces import landmarks, write_faces


def test_calibration_makes_the_likelihood_honest() -> None:
    rng = np.random.default_rng(0)
    untouched, forged = rng.normal(-1, 1, 4000), rng.normal(1, 1, 4000)
    temperature, bias = fit_temperature(untouched, forged)
    # Two unit normals at -1 and 1: the true log odds of x are 2 x.
    assert temperature == pytest.approx(0.5, abs=0.05)
    assert bias == pytest.approx(0.0, abs=0.08)


def test_the_threshold_is_that_of_the_worst_treatment_and_source() -> None:
    rng = np.random.default_rng(1)
    forged = rng.normal(3, 2, 1000)
    plain, harmed = rng.normal(0, 2, 3000), rng.normal(3, 2, 150)
    odd = rng.normal(4.5, 2, 200)
    treatments = {"plain": plain, "harmed": harmed}
    calm = calibrate(treatments, {"all": plain}, forged)
    threshold = calm["operating_points"]["default"]
    assert (likelihood(harmed, calm) > threshold).mean() == pytest.approx(0.035, abs=0.006)
    assert (likelihood(plain, calm) > threshold).mean() < 0.035
    wary = calibrate(treatments, {"odd": odd}, forged)
    threshold = wary["operating_points"]["default"]
    assert (likelihood(odd, wary) > threshold).mean() == pytest.approx(0.08, abs=0.006)
    back = [logit_of(float(value), calm) for value in likelihood(plain, calm)[:50]]
    assert back == pytest.approx(plain[:50].tolist())


def test_the_untouched_tail_and_the_unsure_band() -> None:
    rng = np.random.default_rng(2)
    untouched, forged = rng.normal(0, 2, 4000), rng.normal(3, 2, 1000)
    score = calibrate({"plain": untouched}, {}, forged)
    quiet = likelihood(untouched, score)
    for value, share in score["untouched_tail"]:
        assert (quiet >= value).mean() == pytest.approx(share, abs=0.002)
    low, high = unsure_scores(untouched, score)
    assert high == score["operating_points"]["default"]
    assert ((quiet >= low) & (quiet < high)).mean() == pytest.approx(0.02, abs=0.002)


@torch.no_grad()
def test_a_quality_that_alarms_is_too_low() -> None:
    nothing = np.zeros((2, 2), np.float32)
    plain = Target(np.zeros((4, 4, 3), np.uint8), nothing, nothing, nothing)

    def rows(quality: int, logits: list[float]) -> list[Judged]:
        sample = Sample(plain, UNTOUCHED, (), 0.0, "someone", "somewhere")
        seen = [Seen(*[torch.empty(0)] * 6, torch.tensor([[logit]])) for logit in logits]
        return [Judged(sample, one, f"jpeg_{quality}") for one in seen]

    calm, loud = [0.0] * 20, [0.0] * 17 + [5.0] * 3
    judged = rows(50, calm) + rows(40, loud)
    assert lowest_quality(judged, 1.0) == 50
    assert lowest_quality(rows(50, loud), 1.0) == 70
    assert lowest_quality(rows(50, calm) + rows(40, calm), 1.0) is None


@torch.no_grad()
def test_what_is_kept_of_a_judged_picture_is_small_and_makes_its_mask() -> None:
    torch.manual_seed(0)
    model = Nano().eval()
    image = np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)
    maps, mask = np.zeros((11, 48, 48), np.float32), np.zeros((192, 192), np.float32)
    sample = Sample(Target(image, mask, maps, np.zeros(21, np.float32)), UNTOUCHED, (), 0.0, "", "")
    seen, labels = model.see(sample.pixel_values()), torch.zeros(1, 21)
    kept = _judged(model, sample, "as it is")
    tensors = [one for one in vars(kept.seen).values() if isinstance(one, torch.Tensor)]
    assert sum(one.untyped_storage().nbytes() for one in tensors) < 1e6
    assert kept.sample.seen.image.size == 0
    assert kept.score_logit == float(seen.score_logits)
    expected = model.mask(seen, labels)[0].numpy()
    assert np.abs(_mask_logits(model, kept, labels) - expected).max() < 0.02
    assert np.ptp(expected) > 0.1


@given(st.sampled_from(all_sentences()))
def test_the_tokenizer_gives_every_sentence_back(text: str) -> None:
    tokenizer = build_tokenizer()
    encoded = tokenizer.encode(text)
    assert encoded.ids[-1] == 1
    assert 2 not in encoded.ids
    assert tokenizer.decode(encoded.ids, skip_special_tokens=True) == text


def test_the_tokenizer_knows_every_prompt() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.token_to_id("<pad>") == 0
    assert 2 not in tokenizer.encode(prompt_for(list(LABELS))).ids
    assert 2 not in tokenizer.encode(prompt_for([])).ids


def test_conditioning_draws_zeros_and_ones_and_varies() -> None:
    labels = torch.zeros(400, 21)
    labels[:, 4] = 1
    drawn = conditioning(labels, -torch.ones(400, 21), torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    exact = (drawn == labels).all(1).float().mean()
    assert 0.1 < exact < 0.5


def test_only_regions_under_the_mask_are_covered() -> None:
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 10:14, 10:20] = 1  # eye
    maps[4, 20:30, 20:28] = 1  # nose
    mask = np.zeros((48, 48), bool)
    assert covered_regions(mask, maps) is None
    mask[20:30, 20:28] = True
    assert covered_regions(mask, maps) == ["nose"]


def test_one_covered_side_names_a_pair() -> None:
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 10:14, 10:20] = maps[0, 10:14, 30:40] = 1  # eyes
    mask = np.zeros((48, 48), bool)
    mask[10:14, 10:14] = True  # four tenths of one
    assert covered_regions(mask, maps) == ["eye"]


@torch.no_grad()
def test_where_nothing_is_found_nothing_is_marked() -> None:
    torch.manual_seed(0)
    model, rng = Nano().eval(), np.random.default_rng(0)
    maps, mask = np.zeros((11, 48, 48), np.float32), np.zeros((192, 192), np.float32)

    def judged(family: str, score: float) -> Judged:
        image = rng.integers(0, 256, (384, 384, 3), np.uint8)
        seen = Target(image, mask, maps, np.zeros(21, np.float32))
        one = _judged(model, Sample(seen, family, (), 0.0, "", ""), "as it is")
        return replace(one, seen=replace(one.seen, score_logits=torch.tensor([[score]])))

    model.mask_decoder.head.bias.fill_(6.0)
    model.mask_decoder.certain.fill_(3.0)
    found = [judged(UNTOUCHED, score) for score in (-2.0, -1.0, 0.0)]
    others = [judged(UNTOUCHED, 2.5), judged("splice", 0.0)]
    fall = silencing_fall(model, found + others, 1.0)
    assert fall > 1
    assert silencing_fall(model, others, 1.0) == 0

    def marked(quiet: float) -> list[float]:
        model.mask_decoder.quiet.fill_(quiet)
        logits = [_mask_logits(model, one, torch.zeros(1, 21)) for one in found]
        return [float((cv2.resize(one, (192, 192)) > 0).mean()) for one in logits]

    assert max(marked(fall + 0.01)) <= EMPTY_SHARE
    assert max(marked(fall - 0.1)) > EMPTY_SHARE


def test_fixed_filters_keep_every_grey_level_in_bfloat16() -> None:
    encoder = Nano().vision_encoder
    pictures = normalised(torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8))
    exact = encoder.grid_48.grid(pictures), encoder.high_pass(pictures)
    keep_exact(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        again = encoder.grid_48.grid(pictures), encoder.high_pass(pictures)
    for one, other in zip(exact, again, strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 8, held_out="567")
    return FaceSet(folder)


@pytest.mark.parametrize("seed", range(8))
def test_a_pair_differs_in_nothing_but_the_forgery(
    faces: FaceSet, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_WEBP", "_AVIF"):  # each of their blocks is predicted from those before
        monkeypatch.setattr(history, name, 0.0)
    made = Forge(faces, faces.entries, seed=seed).make(seed, "inpainting")
    forged, original = view(made, (True, False), SIDE, np.random.default_rng(seed))
    assert forged.corner == original.corner
    assert original.whole.mask.max() == 0
    assert original.whole.labels.max() == 0
    assert np.array_equal(forged.whole.maps, original.whole.maps)
    assert forged.whole.mask.max() > 0.9
    difference = np.abs(forged.whole.image.astype(int) - original.whole.image).max(2)
    inside = cv2.dilate(cv2.resize(forged.whole.mask, (SIDE, SIDE)), np.ones((41, 41))) > 0
    assert difference[inside].max() > 8
    assert np.median(difference[~inside]) == 0  # JPEG blocks carry little beyond


@pytest.mark.parametrize("tilt", [0.0, 40.0])
def test_the_truth_follows_the_picture_into_the_square(tilt: float) -> None:
    points = landmarks() * 2
    turn = cv2.getRotationMatrix2D((192, 192), -tilt, 1.0)
    points = points @ turn[:, :2].T + turn[:, 2]
    geometry = Geometry(points, (384, 384))
    image = np.zeros((384, 384, 3), np.uint8)
    nose = geometry.hull("nose")
    image[nose] = 255
    box = face_box(points)
    mask, maps, labels = truth(nose, seen_geometry(points, box), box)
    seen = cv2.resize(see(image, box)[..., 0], mask.shape[::-1], interpolation=cv2.INTER_AREA)
    both, either = (seen > 127) & (mask > 0.5), (seen > 127) | (mask > 0.5)
    assert both.sum() / either.sum() > 0.95
    assert abs(box.angle - tilt) < 2
    assert [LABELS[i] for i in np.flatnonzero(labels)] == ["nose"]
    coarse = cv2.resize(mask, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(coarse - maps[4]).mean() < 0.01


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_history_is_the_same_for_both_halves(seed: int, varied: bool) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (96, 80, 3), np.uint8)
    steps = draw_history(150.0, np.random.default_rng(seed), varied)
    once, again = apply(steps, picture), apply(steps, picture)
    assert np.array_equal(once, again)
    assert once.dtype == np.uint8
    assert once.shape[2] == 3


@pytest.mark.parametrize("save", ["_WEBP", "_AVIF", "_FILMED"])
def test_a_picture_is_saved_as_other_files_too(save: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8), (0, 0), 3
    )
    for name in ("_WEBP", "_AVIF", "_FILMED"):
        monkeypatch.setattr(history, name, float(name == save))
    jpegs = [jpeg(picture, quality) for quality in range(*history._QUALITY)]
    for seed in range(6):
        saved = save_step(np.random.default_rng(seed))(picture)
        assert saved.shape == picture.shape
        assert 0 < np.abs(saved.astype(int) - picture).mean() < 12
        assert not any(np.array_equal(saved, one) for one in jpegs)


@pytest.mark.parametrize("treatment", [*TREATMENTS, *LOW_QUALITIES])
def test_a_treatment_keeps_the_face_and_comes_back_the_same(faces: FaceSet, treatment: str) -> None:
    plain = [one.seen for one in untouched([faces.root], "as it is")]
    once = [one.seen for one in untouched([faces.root], treatment)]
    again = [one.seen for one in untouched([faces.root], treatment)]
    assert [one.image.shape for one in once] == [one.image.shape for one in plain]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, again, strict=True))
    changed = any(np.any(a.image != b.image) for a, b in zip(once, plain, strict=True))
    assert changed == (treatment != "as it is")
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(once, plain, strict=True))


@pytest.mark.parametrize("share", ["_DENOISED", "_ENHANCED", "_NEAREST"])
def test_what_programs_do_to_whole_pictures_is_drawn_and_keeps_their_size(
    share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_DENOISED", "_ENHANCED", "_NEAREST"):
        monkeypatch.setattr(history, name, float(name == share))
    picture = add_noise(np.full((96, 80, 3), 128, np.uint8), 4.0, np.random.default_rng(0))
    for seed in range(12):
        (step,) = _program_steps(np.random.default_rng(seed))
        changed = apply([step], picture)
        assert changed.shape == picture.shape
        assert (changed != picture).any()
        if share == "_DENOISED":
            assert changed.std() < picture.std()


def test_samples_keep_people_apart_and_come_back_the_same(faces: FaceSet) -> None:
    folders = [faces.root]
    train, held_out = ({one.identity for one in part} for part in faces.split())
    drawn = training_samples(folders, 5, 1)
    assert [one.family == UNTOUCHED for one in drawn] == [False, False, False, True, False]
    assert {one.identity for one in drawn} <= train
    again = training_samples(folders, 5, 1)
    assert all(
        np.array_equal(one.seen.image, other.seen.image)
        for one, other in zip(drawn, again, strict=True)
    )
    assert {one.identity for one in validation_forgeries(folders, 1, 2)} <= held_out
    assert {one.identity for one in untouched(folders, "jpeg_70")} == held_out


@pytest.mark.parametrize(("score", "manner"), [(0.5, "faint"), (0.7, "some"), (0.9, "clear")])
def test_a_sentence_is_no_more_certain_than_the_score(score: float, manner: str) -> None:
    meta = {"family": "face_swap", "traces": ["seam"], "strength": 80.0, "score": score}
    adverb = {"faint": "slightly", "some": "probably", "clear": "clearly"}[manner]
    for seed in range(20):
        text = sentence(["nose"], meta, np.random.default_rng(seed))
        assert f" {manner} " in text or f" {adverb} " in text


def test_a_window_shows_the_same_place_of_everything() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12), np.uint8)
    picture = np.kron(coarse, np.ones((32, 32), np.uint8))
    maps = np.zeros((11, 48, 48), np.float32)
    maps[0, 8:12, 8:12] = 1  # eye, inside the window
    maps[4, 40:44, 40:44] = 1  # nose, outside
    labels = np.zeros(21, np.float32)
    labels[[LABELS.index("eye"), LABELS.index("nose")]] = 1
    whole = Target(np.dstack([picture] * 3), picture[::2, ::2], maps, labels)
    seen = window(whole, (32, 64), 256)
    assert np.array_equal(seen.image[::32, ::32, 0], coarse[1:9, 2:10])
    assert np.array_equal(seen.mask[::16, ::16], coarse[1:9, 2:10])
    assert np.array_equal(seen.maps[0, 4:8, 0:4], np.ones((4, 4)))
    assert [LABELS[i] for i in np.flatnonzero(seen.labels)] == ["eye"]


@given(st.integers(0, 2**32 - 1), st.integers(0, 190), st.integers(0, 190))
def test_a_window_holds_the_change_and_stays_inside(seed: int, y: int, x: int) -> None:
    mask = np.zeros((192, 192), np.float32)
    mask[y : y + 2, x : x + 2] = 1
    top, left = _corner(mask, 256, np.random.default_rng(seed))
    assert top % 32 == left % 32 == 0
    assert 0 <= top <= 128
    assert 0 <= left <= 128
    assert mask[top // 2 : top // 2 + 128, left // 2 : left // 2 + 128].any()


@torch.no_grad()
def test_a_token_keeps_its_position_in_a_window() -> None:
    torch.manual_seed(0)
    model = Nano().eval()
    model.vision_encoder.position.normal_()
    grid = model.vision_encoder.position.view(12, 12, -1)
    inside = model._positions(torch.tensor([[0, 0], [96, 128]]), 256)
    assert torch.equal(inside[0].view(8, 8, -1), grid[:8, :8])
    assert torch.equal(inside[1].view(8, 8, -1), grid[3:11, 4:12])
    pixels = torch.randn(1, 3, 384, 384)
    assert torch.equal(model.see(pixels).image_embeds, model.vision_encoder(pixels)[0])


def test_training_sees_pixels_as_the_sdk_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (384, 384, 3), np.uint8)
    expected = Preprocessing(384, CLIP_MEAN, CLIP_STD).pixel_values(picture)
    assert np.allclose(normalised(torch.from_numpy(picture[None])).numpy(), expected, atol=1e-5)


def test_training_makes_every_family() -> None:
    assert set(TRAINING_MIX) == set(FAMILIES)
    assert sum(TRAINING_MIX.values()) == pytest.approx(1.0)
