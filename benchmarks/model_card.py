"""Writes what `ft-eval --robustness --json` measured into a model card.

    ft-eval --data SET --robustness --json > figures.json
    python -m benchmarks.model_card figures.json MODEL_CARD.md

The sections `figures`, where distortions were measured `robustness`, and where untouched pictures
have several sources `sources`, are replaced; the rest stays as it is. With `--data-set fresh` they
are `fresh-figures`, `fresh-robustness` and `fresh-sources`. Of untouched pictures alone there is no
`figures`, and a column or a table that nothing was measured for is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.sections import replace_section

Figures = Mapping[str, Any]

_MASKS = {"IoU": "iou", "precision": "precision", "recall": "recall", "F1": "f1", "AUC": "auc",
          "found": "found", "at 5 %": "found_at_5", "region F1": "region_f1",
          "agree": "report_agreement", "named": "report_names_part"}  # fmt: skip
_HARMED = {"IoU": "iou", "AUC": "auc", "found": "found", "false positives": "false_positive_rate",
           "region F1": "region_f1"}  # fmt: skip
_UNTOUCHED = {"false positives": "false_positive_rate", "with a mask": "false_mask_rate",
              "cannot tell": "cannot_tell"}  # fmt: skip
_WORDS = {"CIDEr": "cider", "BLEU-1": "bleu_1", "BLEU-2": "bleu_2", "BLEU-3": "bleu_3",
          "BLEU-4": "bleu_4", "ROUGE-L": "rouge_l", "METEOR": "meteor"}  # fmt: skip


def figures_section(figures: Figures) -> str:
    """Return the tables of an evaluation, as `ft-eval --json` prints it."""
    total, families = figures["total"], figures["families"]
    forged = {name: row for name, row in families.items() if row["forged"]}
    ranked = dict(sorted(forged.items(), key=lambda item: -(item[1]["iou"] or 0)))
    words = _table("", _WORDS, {"all": total["text"] or {}})
    return "\n\n".join([
        f"{total['pictures']} pictures, {total['forged']} of them forged:",
        _table("family", _MASKS, {**ranked, "**total**": total}),
        "The score, and the masks on untouched pictures:",
        _list({
            "false positives at the shipped threshold": total["false_positive_rate"],
            "untouched pictures with a mask": total["false_mask_rate"],
            "expected calibration error": total["calibration_error"],
            "shipped threshold of the score": figures["bundle"]["score_threshold"],
        }),
        *(["The reports against the references:", words] if total["text"] else []),
    ])  # fmt: skip


def robustness_section(figures: Figures) -> str:
    """Return the table of what is left after each distortion."""
    total = figures["total"]
    columns = _HARMED if total["forged"] else _UNTOUCHED
    table = _table("after", columns, {"nothing": total, **figures["robustness"]})
    return f"{total['pictures']} pictures, {total['forged']} of them forged:\n\n{table}"


def sources_section(figures: Figures) -> str:
    """Return the false alarms of each source of untouched pictures, the worst first."""
    lines = [_line(["source", "pictures", *_UNTOUCHED, "95 % interval of false positives"])]
    lines.append(_line(["---"] * (3 + len(_UNTOUCHED))))
    for name, row in figures["sources"].items():
        # Of a source that got no answer at all nothing can be said.
        interval = row["intervals"].get("false_positive_rate")
        cells = (_number(row[column]) for column in _UNTOUCHED.values())
        between = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "-"
        lines.append(_line([name, str(row["pictures"]), *cells, between]))
    return "\n".join(lines)


def _table(first: str, columns: Mapping[str, str], rows: Mapping[str, Figures]) -> str:
    """Return a table of `columns`, less those that no row has a figure for."""
    columns = {
        name: key
        for name, key in columns.items()
        if any(row.get(key) is not None for row in rows.values())
    }
    lines = [_line([first, *columns]), _line(["---"] * (1 + len(columns)))]
    for name, row in rows.items():
        lines.append(_line([name.replace("_", " "), *(_number(row[c]) for c in columns.values())]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(figures: Mapping[str, float | None]) -> str:
    return "\n".join(f"- {name}: {_number(value, 3)}" for name, value in figures.items())


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write(figures: Figures, card: Path, begin: str) -> None:
    """Replace the sections of `card` that `figures` are for; their names begin with `begin`."""
    if figures["total"]["forged"]:
        replace_section(card, f"{begin}figures", figures_section(figures))
    if len(figures["sources"]) > 1:
        replace_section(card, f"{begin}sources", sources_section(figures))
    if figures["robustness"]:
        replace_section(card, f"{begin}robustness", robustness_section(figures))


def main() -> None:
    """Read the figures and write the card's section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figures", type=Path, help="what ft-eval --robustness --json printed")
    parser.add_argument("card", type=Path, help="the Markdown file")
    parser.add_argument("--data-set", help="what the sections' names begin with")
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text(encoding="utf-8"))
    write(figures, arguments.card, f"{arguments.data_set}-" if arguments.data_set else "")


if __name__ == "__main__":
    main()
