"""What many tests share: the parity miniature, exported once, and analyzers over it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counting
import numpy as np
import pytest
from counting import Counted
from guarding import Guard
from hypothesis import HealthCheck, settings

from ftsdk.analyzer import Analyzer

pytest_plugins = ["browsing", "serving"]

REPOSITORY = Path(__file__).resolve().parent.parent

# The suite tries the same examples every time; `--hypothesis-profile=search` looks for new ones.
_COMMON = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ftsdk", _COMMON, derandomize=True)
settings.register_profile("search", _COMMON, max_examples=1000, print_blob=True)
settings.load_profile("ftsdk")


@dataclass(frozen=True)
class Exported:
    """A bundle, what `ft-export` printed while it wrote it, and the guard that it ran under."""

    bundle: Path
    printed: str
    guard: Guard


@pytest.fixture(scope="session")
def parity() -> Path:
    """The folder of the seeded parity fixture: its architecture and what the authors' code gave."""
    return REPOSITORY / "tests" / "parity" / "seeded"


@pytest.fixture(scope="session")
def mini_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seeded miniature in the published layout; not to be changed."""
    from parity.seeded import weights

    out = tmp_path_factory.mktemp("mini") / "model_parameter"
    weights.write(out)
    return out


@pytest.fixture(scope="session")
def mini_export(
    parity: Path, mini_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """The miniature, exported by the command line."""
    out = tmp_path_factory.mktemp("export") / "mini.bundle"
    guard = Guard(tmp_path_factory.mktemp("guard"))
    printed = guard.run(
        *("ft_export.cli:main", mini_weights, "--architecture", parity / "architecture.json"),
        *("--language", "float32", "--out", out, "--json"),
    )
    return Exported(out, printed, guard)


@pytest.fixture(scope="session")
def mini_bundle(mini_export: Exported) -> Path:
    """The miniature's bundle; not to be changed."""
    return mini_export.bundle


@pytest.fixture(scope="session")
def second_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of other dimensions in the published layout; not to be changed."""
    import second_miniature

    return second_miniature.write(tmp_path_factory.mktemp("second") / "weights")


@pytest.fixture(scope="session")
def second_bundle(second_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of other dimensions, exported."""
    import second_miniature
    from exports import FLOAT32

    from ft_export.exporter import export_bundle
    from ft_export.model.architecture import load_architecture
    from ft_export.plan import plan_export

    described = load_architecture(str(second_miniature.architecture_file(second_weights)))
    plan = plan_export(second_weights, described, "second")
    out = tmp_path_factory.mktemp("export") / "second.bundle"
    return export_bundle(plan, out, lambda *_: None, FLOAT32).path


@pytest.fixture(scope="session")
def mini(mini_bundle: Path) -> Iterator[Analyzer]:
    """An analyzer of the miniature on the CPU."""
    with Analyzer(mini_bundle, device="cpu") as analyzer:
        yield analyzer


@pytest.fixture
def counted(mini_bundle: Path) -> Iterator[Counted]:
    """An analyzer of the miniature whose engines count their calls."""
    with Analyzer(mini_bundle, device="cpu", threads=1) as analyzer:
        yield counting.counted(analyzer)


@pytest.fixture
def edited_bundle(
    mini_bundle: Path, tmp_path: Path
) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """A function that copies the miniature's bundle and lets its argument edit the manifest."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        copy = tmp_path / "edited.bundle"
        for source in mini_bundle.rglob("*"):
            if source.is_file():
                target = copy / source.relative_to(mini_bundle)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, target)
        manifest = json.loads((mini_bundle / "manifest.json").read_text(encoding="utf-8"))
        change(manifest)
        (copy / "manifest.json").unlink()
        (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return copy

    return edit


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PNG picture of coloured noise; the miniature's weights mean nothing either."""
    from ftsdk.imaging.encode import write_png

    path = tmp_path_factory.mktemp("pictures") / "face.png"
    random = np.random.default_rng(20)
    write_png(path, random.integers(0, 256, (90, 120, 3), np.uint8))
    return path
