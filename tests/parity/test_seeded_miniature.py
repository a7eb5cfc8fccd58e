"""The exported seeded miniature against the authors' own outputs (seeded/README.md)."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decoding_definition import CHANGES, Definition
from numpy.typing import NDArray

import ftsdk
from ftsdk.analyzer import Analyzer
from ftsdk.bundle import open_bundle
from ftsdk.engines.onnxruntime import OnnxRuntimeEngine
from ftsdk.language.decoder import StepDecoder
from ftsdk.language.embeddings import TokenEmbeddings

CASES = ("case0", "case1", "case2_no_regions", "case3_all_regions", "case4_two_regions")
DECODINGS = {
    "greedy": ftsdk.Language(),
    "beam5": ftsdk.Language(beams=5),
    "greedy_min25": ftsdk.Language(min_length=25),
    "beam5_min25": ftsdk.Language(beams=5, min_length=25),
}
#: Names in the fixture and in a trace.
TENSORS = {
    "fpn_logits": "region_logits",
    "image_embeds": "image_embeds",
    "qformer_out": "qformer_output",
    "t5_encoder_out": "encoder_output",
}
MAX_ABSOLUTE, MAX_RELATIVE = 1e-4, 1e-5
#: One 8-bit step after normalisation.
ONE_STEP = 0.0152


class Fixture:
    """The expected outputs of all cases, and the analyzer's, each computed once."""

    def __init__(self, folder: Path, analyzer: Analyzer) -> None:
        cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        self.folder, self.analyzer = folder, analyzer
        self.cases: dict[str, dict[str, Any]] = {case["case"]: case for case in cases}
        self.expected = cache(self._expected)
        self.trace = cache(self._trace)

    def _expected(self, case: str) -> dict[str, NDArray[np.generic]]:
        with np.load(self.folder / f"{case}.npz") as arrays:
            return dict(arrays)

    def _trace(self, case: str, decoding: str) -> dict[str, Any]:
        described = self.cases[case]
        return self.analyzer.trace(
            self.folder / described["image"], described["forced_regions"], DECODINGS[decoding]
        )


@pytest.fixture(scope="module")
def fixture(parity: Path, mini: Analyzer) -> Fixture:
    return Fixture(parity / "expected", mini)


def require_close(found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    wanted = expected.astype(np.float64)
    difference = found.astype(np.float64).reshape(wanted.shape) - wanted
    assert np.abs(difference).max() <= MAX_ABSOLUTE
    assert np.linalg.norm(difference) <= MAX_RELATIVE * np.linalg.norm(wanted)


def test_the_fixture_has_exactly_these_cases(fixture: Fixture) -> None:
    assert tuple(fixture.cases) == CASES


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TENSORS)
def test_tensor(fixture: Fixture, case: str, name: str) -> None:
    expected = fixture.expected(case)
    if name not in expected:
        assert fixture.cases[case]["forced_regions"] is not None
        return
    require_close(fixture.trace(case, "greedy")[TENSORS[name]], expected[name])


@pytest.mark.parametrize("case", CASES)
def test_pixel_values(fixture: Fixture, case: str) -> None:
    found = fixture.trace(case, "greedy")["pixel_values"]
    assert np.abs(found - fixture.expected(case)["pixel_values"]).max() <= ONE_STEP


@pytest.mark.parametrize("case", CASES)
def test_mask(fixture: Fixture, case: str) -> None:
    logits = fixture.trace(case, "greedy")["mask_logits"].astype(np.float64)
    require_close(1 / (1 + np.exp(-logits)), fixture.expected(case)["mask"])


@pytest.mark.parametrize("case", CASES)
def test_prompt(fixture: Fixture, case: str) -> None:
    trace, expected = fixture.trace(case, "greedy"), fixture.expected(case)
    assert trace["prompt"] == fixture.cases[case]["prompt"]
    np.testing.assert_array_equal(trace["qformer_ids"], expected["qformer_ids"])
    np.testing.assert_array_equal(trace["prompt_ids"], expected["t5_ids"])
    soft = trace["qformer_output"].shape[1]
    require_close(trace["prompt_embeds"], expected["t5_inputs_embeds"][:, soft:])


@pytest.mark.parametrize("case", CASES)
def test_regions_are_those_of_the_fixture(fixture: Fixture, case: str) -> None:
    described = fixture.cases[case]
    result = fixture.analyzer.analyze(
        fixture.folder / described["image"], regions=described["forced_regions"], report=False
    )
    assert [region.name for region in result.regions] == described["labels"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("decoding", DECODINGS)
def test_report(fixture: Fixture, case: str, decoding: str) -> None:
    trace = fixture.trace(case, decoding)
    np.testing.assert_array_equal(
        trace["report_ids"], fixture.expected(case)[f"{decoding}_ids"].reshape(1, -1)
    )
    if decoding in fixture.cases[case]:
        assert trace["report"] == fixture.cases[case][decoding]


class StepDecoders:
    """Fresh decoders over the exported language model."""

    def __init__(self, folder: Path) -> None:
        bundle = open_bundle(folder)
        self.entry = bundle.manifest.language
        self.embeddings = TokenEmbeddings(bundle.read(self.entry.token_embeddings))
        graph = bundle.file(bundle.manifest.stages["language_decoder"].graph)
        self.engine = OnnxRuntimeEngine(graph)

    def __call__(self, trace: dict[str, Any], beams: int, limit: int) -> StepDecoder:
        return StepDecoder(self.engine, self.embeddings, self.entry, trace, beams, limit)


@pytest.fixture(scope="module")
def step_decoder(mini_bundle: Path) -> StepDecoders:
    return StepDecoders(mini_bundle)


@pytest.mark.parametrize("case", CASES)
def test_teacher_forced_logits(fixture: Fixture, step_decoder: StepDecoders, case: str) -> None:
    expected, trace = fixture.expected(case), fixture.trace(case, "greedy")
    ids = expected["greedy_ids"].reshape(-1).astype(np.int64)
    decoder = step_decoder(trace, 1, len(ids))
    logits = np.stack([decoder.step(ids[i : i + 1])[0].copy() for i in range(len(ids))])
    wanted = expected["greedy_logits"].reshape(-1, logits.shape[1])
    require_close(logits[: len(wanted)], wanted)


@pytest.mark.parametrize("rule", [Definition, *CHANGES], ids=lambda rule: rule.__name__)
def test_as_many_texts_show_a_changed_rule_as_in_transformers(
    fixture: Fixture, step_decoder: StepDecoders, rule: type[Definition]
) -> None:
    """The decoding that the fixture was made with, and each of its rules changed (README)."""
    changed = 0
    for case, (decoding, options) in product(CASES, DECODINGS.items()):
        decoder = step_decoder(fixture.trace(case, decoding), options.beams, options.max_new_tokens)
        ids = [decoder.start_token, *rule(decoder, options).decode()]
        changed += ids != fixture.expected(case)[f"{decoding}_ids"].reshape(-1).tolist()
    assert changed == CHANGES.get(rule, 0)
