# For whoever watches a camera or a video: a mask for each frame, a report where something changes.
"""Usage: python examples/watch_a_camera.py rtsp://camera/stream

A camera number such as 0 and a video file do as well. Ctrl+C ends it.
"""

from __future__ import annotations

import sys

import ftsdk


def main(source: str) -> None:
    """Print what is found in a source's frames, for as long as it gives any.

    The policy says what becomes of frames that come faster than answers. A camera does not wait:
    `newest only` keeps the answer close to what happens now, `drop oldest` keeps a short queue.
    For a video of which no frame may be left out it is `wait`.
    """
    camera: str | int = int(source) if source.isdigit() else source
    for answer in ftsdk.watch(camera, policy="newest only", retries=10):
        when = f"{answer.frame.seconds:7.2f} s"
        match answer:
            case ftsdk.FrameMasked(result=result, latency_ms=latency, dropped=dropped):
                share = result.mask.mean()
                print(f"{when}  {share:6.2%} masked, {latency:.0f} ms late, {dropped} dropped")
            case ftsdk.FrameReported(result=result):
                print(f"{when}  {result.finding} {result.report}")
            case ftsdk.FrameFailed(error=error):
                print(f"{when}  {error}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
