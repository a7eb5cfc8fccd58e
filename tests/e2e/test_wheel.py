"""What a stranger installs: an sdist made without git, the wheel made of it, and the wheel at work.

The wheel is installed into an environment of its own in another folder, which finds the packages
that ftsdk depends on in the environment of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from serving import free_port
from setuptools import Distribution

import ftsdk

pytestmark = pytest.mark.slow

NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis"
)
PACKAGE_FOLDERS = ("sdk", "export", "calibration")
NANO_WEIGHTS = REPOSITORY / "training" / "nano"
PICTURE = REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"
JUNK = ("sdk/ftsdk/left.orig", "export/ft_export/left.tmp", "sdk/ftsdk/_native/left.so")
DATA = "sdk/ftsdk/models/another_kind/of.data"
BUILD = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a copy without git, with a new kind of data and some junk in it."""
    source = tmp_path_factory.mktemp("source") / "ftsdk"
    shutil.copytree(REPOSITORY, source, ignore=NOT_SOURCE)
    for name in (*JUNK, DATA):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"0")
    target = tmp_path_factory.mktemp("sdist")
    make = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", make, target], check=True, cwd=source, env=BUILD)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist's content."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, folder)
    return folder / sdist.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of the sdist, after an earlier build has left a module there."""
    build = Distribution({"ext_modules": [ftsdk]}).get_command_obj("build")
    build.ensure_finalized()
    left = unpacked / build.build_lib / "ftsdk" / "gone.py"
    left.parent.mkdir(parents=True)
    left.touch()
    target = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", target, unpacked], check=True, env=BUILD)
    assert left.parent.is_dir(), "the earlier build was somewhere else"
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("elsewhere") / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", wheel], check=True)
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(site) / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return folder / "bin"


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {*archive.namelist()}


def run(installed: Path, command: str, *arguments: object, cwd: Path) -> str:
    """Run a command of the environment in a folder of its own, and return what it printed."""
    done = subprocess.run(
        [installed / command, *map(str, arguments)],
        cwd=cwd,
        env={"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_packages(unpacked: Path, wheel: Path) -> None:
    sources = {".cpp", ".cu", ".h"}
    expected = {
        path.relative_to(unpacked / folder).as_posix()
        for folder in PACKAGE_FOLDERS
        for path in (unpacked / folder).rglob("*")
        if path.is_file() and path.suffix not in sources
    }
    assert {"golden_picture.png", "py.typed"} < {Path(name).name for name in expected}
    assert DATA.removeprefix("sdk/") in expected
    held = {name for name in names(wheel) if ".dist-info/" not in name}
    (kernels,) = held - expected
    assert expected < held
    assert kernels.startswith("ftsdk/_native/kernels.")


def test_the_wheel_is_tagged_for_the_pythons_that_can_load_it(wheel: Path) -> None:
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    tag = "cp312-abi3" if sys.version_info >= (3, 12) else f"{version}-{version}"
    assert f"-{tag}-linux" in wheel.name
    assert any("kernels.abi3." in name for name in names(wheel)) == (tag == "cp312-abi3")


def test_the_metadata_says_what_is_in_it(wheel: Path) -> None:
    held = f"ftsdk-{ftsdk.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"{held}/METADATA"))
        weights = archive.read(f"{held}/licenses/LICENSES/CC-BY-NC-SA-4.0.txt").decode()
        card = archive.read(f"{held}/licenses/MODEL_CARD.md").decode()
        entries = archive.read(f"{held}/entry_points.txt").decode()
    assert metadata["Version"] == ftsdk.__version__
    expression = metadata["License-Expression"].split(" AND ")
    assert {"Apache-2.0", "CC-BY-NC-SA-4.0"} < {*expression}
    texts = {path.name for path in (REPOSITORY / "LICENSES").iterdir()}
    named = {Path(name).name for name in metadata.get_all("License-File", [])}
    assert named == {"LICENSE", "MODEL_CARD.md", *texts}
    assert weights.startswith("Creative Commons Attribution-NonCommercial-ShareAlike 4.0")
    assert "CC BY-NC-SA 4.0" in card
    assert "ft_training" not in entries


def test_the_sdist_holds_the_tests_and_no_junk(unpacked: Path) -> None:
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    tests = {path.relative_to(REPOSITORY).as_posix() for path in Path(__file__).parent.glob("*.py")}
    assert tests | {"MODEL_CARD.md", "CMakeLists.txt", "Makefile", DATA} <= held
    assert not held & {*JUNK}


def test_the_installed_package_is_the_wheel_s_beside_a_checkout_too(installed: Path) -> None:
    code = "import ft_eval, ft_export, ft_forge, ftsdk; print(ft_export.__file__, ftsdk.__file__)"
    for folder in (REPOSITORY, REPOSITORY / "tests"):
        for home in run(installed, "python", "-c", code, cwd=folder).split():
            assert Path(home).is_relative_to(installed.parent)


def test_the_training_is_not_installed(installed: Path, wheel: Path, tmp_path: Path) -> None:
    assert not any(name.startswith(("ft_training", "training")) for name in names(wheel))
    find = "import importlib.util; print(importlib.util.find_spec('ft_training'))"
    assert run(installed, "python", "-c", find, cwd=tmp_path).strip() == "None"


def test_the_doctor_finds_the_installation_healthy(installed: Path, tmp_path: Path) -> None:
    assert json.loads(run(installed, "ft-doctor", "--json", cwd=tmp_path))["healthy"]


def test_the_committed_weights_export_to_the_shipped_bundle(
    installed: Path, tmp_path: Path
) -> None:
    options = ["--language", "float32", "--out", "nano.bundle"]
    run(installed, "ft-export", NANO_WEIGHTS, *options, cwd=tmp_path)
    shipped = json.loads(run(installed, "ft-analyze", PICTURE, "--json", cwd=tmp_path))
    options = ["--json", "--bundle", "nano.bundle"]
    exported = json.loads(run(installed, "ft-analyze", PICTURE, *options, cwd=tmp_path))
    assert exported["report"] == shipped["report"] != ""
    with ftsdk.Analyzer(device="cpu") as nano:
        expected = nano.trace(PICTURE)
    with ftsdk.Analyzer(tmp_path / "nano.bundle", device="cpu") as again:
        found = again.trace(PICTURE)
    assert found["report"] == expected["report"]
    for name in ("region_logits", "mask_logits", "score_logits", "encoder_output"):
        assert np.abs(found[name] - expected[name]).max() < 1e-3


def test_the_service_answers(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = subprocess.Popen([installed / "ft-serve", "--port", str(port)], cwd=tmp_path)
    try:
        wait_until_ready(url, service)
        headers = {"Content-Type": "image/jpeg"}
        request = urllib.request.Request(f"{url}/v1/analyze", PICTURE.read_bytes(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["finding"].startswith("Manipulation suspected")
        with urllib.request.urlopen(url, timeout=60) as page:
            assert b"<script" in page.read()
    finally:
        service.terminate()
        assert service.wait(timeout=30) in (0, -signal.SIGTERM)


def wait_until_ready(url: str, service: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert service.poll() is None, "the service ended"
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=10).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the service did not get ready")
