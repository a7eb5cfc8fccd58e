# For an application developer: one picture in, what was found out, and the files to show it.
"""Usage: python examples/one_picture.py face.jpg answers/"""

from __future__ import annotations

import sys

import ftsdk


def main(picture: str, folder: str) -> None:
    """Print the answer to one picture, and save overlay, mask, heat map and JSON."""
    result = ftsdk.analyze(picture)
    print(result.finding)
    for region in result.regions:
        print(f"  {region.name}: probability {region.probability:.2f}")
    print(result.report)
    for warning in result.warnings:
        print("Mind that:", warning)
    for kind, path in result.save(folder).items():
        print(f"{kind} is in {path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
