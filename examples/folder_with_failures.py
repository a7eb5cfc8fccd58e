# For whoever goes through a folder: one bad file never ends it, and none is passed over in silence.
"""Usage: python examples/folder_with_failures.py pictures/

For folders that take longer than a coffee there is `ft-batch`, which goes on where it was stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ftsdk


def main(folder: str) -> int:
    """Print one line for each file, the most suspicious first; return how many failed."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    scores: list[tuple[float, str]] = []
    failures: list[ftsdk.Failure] = []
    with ftsdk.Analyzer() as analyzer:
        for answer in analyzer.analyze_many(files, report=False):
            if isinstance(answer, ftsdk.Failure):
                failures.append(answer)
            else:  # a bundle without a score ranks by the mask
                score = float(answer.mask.mean()) if answer.score is None else answer.score
                scores.append((score, answer.picture.name))
    for score, name in sorted(scores, reverse=True):
        print(f"{score:.2f}  {name}")
    for failure in failures:
        print(f"failed  {failure.name}: {failure.error.what}; {failure.error.cure}")
    return len(failures)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1]) else 0)
