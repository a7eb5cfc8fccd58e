"""OpenCV as this package needs it, or an error that says what is in its way."""

from __future__ import annotations

from ftsdk.errors import FtsdkError, PackageBrokenError

_NEEDED = ("IMREAD_COLOR", "imdecode", "resize", "warpAffine", "VideoCapture")


def require_opencv() -> None:
    """Import OpenCV, and see that it is whole.

    Of two packages of it in one environment, uninstalling one takes the other's files with it, and
    leaves a module that imports and has nothing in it.

    Raises:
        PackageConflictError: two packages of OpenCV are installed.
        PackageBrokenError: it does not load, or lacks what is needed.
    """
    try:
        import cv2
    except (ImportError, OSError) as error:
        raise _fault(str(error)) from error
    missing = [name for name in _NEEDED if not hasattr(cv2, name)]
    if missing:
        raise _fault(f"a module cv2 without {', '.join(missing)}")


def _fault(found: str) -> FtsdkError:
    from ftsdk.doctor.packages import SHARED, faults_of, providers

    for fault in faults_of("cv2", [*providers("cv2")], SHARED["cv2"]):
        return fault
    return PackageBrokenError(
        "OpenCV does not load",
        expected=f"a module cv2 with {', '.join(_NEEDED)}",
        found=found,
        cure="pip install --force-reinstall --no-deps 'opencv-python<5'; where the system has no "
        "display libraries, 'opencv-python-headless<5' in its place",
    )
