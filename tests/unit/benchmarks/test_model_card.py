"""The model card's tables come from ft-eval's figures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from conftest import REPOSITORY

from benchmarks.model_card import write
from ft_eval.metrics import MaskScores
from ft_eval.outcomes import Outcome, Summary, summarise
from ft_eval.text_metrics import DocumentFrequencies, Pair

WORDS = Pair(("the", "nose"), ("the", "nose"))


def _summary(iou: float) -> Summary:
    masks = MaskScores(iou, 1.0, 1.0, 1.0)
    forged = Outcome("part_swap", "", True, masks, True, 0.9, False, True, None, 1, 1, True, WORDS)
    nothing = False, None, False, 0.1, False, False, None, 0, 0, None, WORDS
    quiet = Outcome("untouched", "x", *nothing)
    return summarise([forged, quiet], [forged, quiet], DocumentFrequencies([WORDS.reference]))


def _unsure() -> Summary:
    """Of a source of whose only picture the model cannot tell."""
    one = Outcome("untouched", "x", False, None, False, None, True, False, None, 0, 0, None, None)
    return summarise([one], [one], DocumentFrequencies([WORDS.reference]))


def test_the_card_holds_the_figures_and_keeps_its_words(tmp_path: Path) -> None:
    figures = {
        "bundle": {"score_threshold": 0.7},
        "total": asdict(_summary(0.5)),
        "families": {"part_swap": asdict(_summary(0.25)), "inpainting": asdict(_summary(0.75))},
        "sources": {"agency": asdict(_summary(0.5)), "unsure": asdict(_unsure())},
        "robustness": {"jpeg_70": asdict(_summary(0.125))},
    }
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    card = tmp_path / "CARD.md"
    card.write_text("# nano\n\n<!-- begin figures -->\nold\n<!-- end figures -->\n\nBy hand.\n")
    files = [str(tmp_path / "figures.json"), str(card)]
    command = [sys.executable, "-m", "benchmarks.model_card", *files]
    subprocess.run(command, check=True, timeout=60, cwd=REPOSITORY)
    lines = card.read_text().splitlines()
    assert "old" not in lines
    assert "By hand." in lines
    assert "<!-- begin robustness -->" in lines
    rows = [line for line in lines if line.startswith("| ")]
    order = [rows.index(row) for name in ("inpainting", "part swap", "**total**")
             for row in rows if row.startswith(f"| {name} |")]  # fmt: skip
    assert order == sorted(order)
    assert len(order) == 3
    (harmed,) = (row for row in rows if row.startswith("| jpeg 70 |"))
    assert harmed.split(" | ")[1] == "0.12"
    (source,) = (row for row in rows if row.startswith("| agency |"))
    assert source == "| agency | 2 | 0.00 | 0.00 | 0.00 | 0.00 to 0.79 |"  # Wilson's, of one
    (unsure,) = (row for row in rows if row.startswith("| unsure |"))
    assert unsure == "| unsure | 1 | - | 0.00 | 1.00 | - |"
    assert "- shipped threshold of the score: 0.700" in lines
    subprocess.run([*command, "--data-set", "fresh"], check=True, timeout=60)
    lines = card.read_text().splitlines()
    assert lines.count("<!-- begin figures -->") == lines.count("<!-- begin fresh-figures -->") == 1
    assert "<!-- begin fresh-robustness -->" in lines


def test_nothing_stands_for_what_was_not_measured(tmp_path: Path) -> None:
    figures = {
        "bundle": {"score_threshold": 0.7},
        "total": {**asdict(_summary(0.5)), "text": None, "region_f1": None},
        "families": {"part_swap": {**asdict(_summary(0.5)), "region_f1": None}},
        "sources": {"untouched": asdict(_summary(0.5))},
        "robustness": {},
    }
    card = tmp_path / "CARD.md"
    card.write_text("# nano\n")
    write(figures, card, "plain-")
    text = card.read_text()
    assert "| family | IoU | precision |" in text
    assert "region F1" not in text
    assert "references" not in text
    assert "sources" not in text
