"""An environment whose OpenCV is broken, as two packages of it leave it: the cure is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 4.12.0\n"


def install(site: Path, package: str) -> None:
    """Leave what pip leaves of a package: its record, and a module without content."""
    (site / "cv2").mkdir(parents=True, exist_ok=True)
    (site / "cv2" / "__init__.py").write_text("", encoding="utf-8")
    info = site / f"{package.replace('-', '_')}-4.12.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.format(package), encoding="utf-8")
    (info / "RECORD").write_text("cv2/__init__.py,,\ncv2/cv2.abi3.so,,\n", encoding="utf-8")


def run(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def both(tmp_path: Path) -> Path:
    for package in ("opencv-python", "opencv-python-headless"):
        install(tmp_path, package)
    return tmp_path


def test_two_packages_in_each_other_s_way_are_named(both: Path) -> None:
    done = run(both, "import ftsdk; ftsdk.analyze('a.jpg')")
    assert "PackageConflictError" in done.stderr
    assert "pip uninstall -y opencv-python opencv-python-headless" in done.stderr
    assert "AttributeError" not in done.stderr


def test_the_doctor_speaks_nevertheless(both: Path) -> None:
    done = run(both, "import sys; sys.argv[1:] = ['--json', '--device', 'cpu']\n"
                     "from ftsdk.cli.doctor import main; main()")  # fmt: skip
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "PackageConflictError" in [fault["class"] for fault in checks["packages"]["faults"]]


def test_what_the_uninstalled_one_took_is_named(tmp_path: Path) -> None:
    install(tmp_path, "opencv-python")
    done = run(tmp_path, "import ftsdk.imaging.decode")
    assert "PackageBrokenError" in done.stderr
    assert "as when its twin was uninstalled" in done.stderr


def test_a_whole_one_passes() -> None:
    from ftsdk.imaging.opencv import require_opencv

    require_opencv()
