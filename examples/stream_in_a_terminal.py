# For whoever shows answers to people: regions, mask and words the moment they are known.
"""Usage: python examples/stream_in_a_terminal.py face.jpg"""

from __future__ import annotations

import sys
import time

import ftsdk


def main(picture: str) -> None:
    """Print each event of an analysis with the time since it began."""
    began = time.perf_counter()
    for event in ftsdk.stream(picture):
        elapsed = f"{time.perf_counter() - began:6.3f} s"
        match event:
            case ftsdk.RegionsFound(regions):
                print(elapsed, "regions:", ", ".join(region.name for region in regions) or "none")
            case ftsdk.MaskReady(probabilities=probabilities):
                print(elapsed, f"mask: the most suspicious pixel has {probabilities.max():.2f}")
                print(elapsed, "report: ", end="")
            case ftsdk.ReportToken(text=text):
                print(text, end="", flush=True)
            case ftsdk.Finished(result):
                print(f"\n{elapsed} {result.finding}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
