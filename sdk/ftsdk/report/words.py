"""Plain sentences on what the numbers of an answer mean, and what they do not."""

from __future__ import annotations

from ftsdk.answer import Answer

CAUTION = (
    "This is the output of a statistical model, not a finding of fact. It can miss manipulation "
    "and it can suspect what nobody touched. No manipulation found does not mean that a picture "
    "is untouched. Use it together with other evidence."
)
_FPR = "fpr_"


def score_note(result: Answer) -> str:
    """Say what the score of `result` means, or why there is none."""
    if result.cannot_tell:
        return "There is no score, no mask and no text: the model was not made for this picture."
    if result.score is None or result.score_threshold is None:
        return (
            "This model gives no overall score: it says where a manipulation would be, not "
            "whether there is one."
        )
    return (
        f"The score is this model's calibrated likelihood of manipulation, from 0 to 1. From "
        f"{result.score_threshold:.2f} on it calls a picture suspicious"
        f"{_operating_point(result.operating_point)}."
    )


def _operating_point(name: str | None) -> str:
    if name is None:
        return ""
    share = name.removeprefix(_FPR)
    try:
        rate = float(share) if name.startswith(_FPR) else None
    except ValueError:
        rate = None
    if rate is None:
        return f" (operating point {name})"
    return (
        f" (operating point {name}: the threshold that {rate:.0%} of the untouched pictures of its "
        "calibration set exceed)"
    )
