"""What importing and running ftsdk loads, and what it must never need."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

import ftsdk

SDK = REPOSITORY / "sdk/ftsdk"
#: Which of the other packages each one may import.
ARROWS: dict[str, set[str]] = {
    "sdk/ftsdk": set(),
    "calibration/ft_forge": {"ftsdk"},
    "calibration/ft_eval": {"ftsdk", "ft_forge"},
    "calibration/ft_calibration": {"ftsdk", "ft_forge"},
    "export/ft_export": {"ftsdk", "ft_eval", "ft_calibration"},
    "training/ft_training": {"ftsdk", "ft_forge", "ft_eval", "ft_calibration", "ft_export"},
}
PACKAGES = {Path(package).name for package in ARROWS}
WORKSTATION = {"torch", "transformers", "onnx", *PACKAGES - {"ftsdk"}}
HEAVY = {"numpy", "cv2", "onnxruntime", "tokenizers", "pydantic", "typer", "rich", *WORKSTATION}


def loaded(code: str, *arguments: str | Path) -> list[str]:
    """Run `code` in a fresh Python and return the top-level modules that it loaded."""
    report = "import json, sys; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def test_importing_ftsdk_loads_nothing_heavy() -> None:
    before = set(loaded(""))
    assert not HEAVY & (set(loaded("import ftsdk; dir(ftsdk); ftsdk.__version__")) - before)


def test_the_errors_and_the_options_load_no_engine() -> None:
    modules = loaded("import ftsdk; ftsdk.Language(); ftsdk.FtsdkError")
    assert not {"onnxruntime", "cv2"} & set(modules)


def test_an_answer_loads_nothing_that_only_others_need() -> None:
    code = "import ftsdk, sys; ftsdk.analyze(sys.argv[1], device='cpu')"
    modules = loaded(code, SDK / "models/nano/golden/picture.png")
    assert not {"asyncio", "psutil", "pydantic", "typer", "rich", "PIL"} & set(modules)


def test_help_of_the_command_loads_no_engine() -> None:
    code = "import sys; sys.argv = ['ft-analyze', '--help']\nfrom ftsdk.cli.analyze import main"
    assert "onnxruntime" not in loaded(f"{code}\ntry: main()\nexcept SystemExit: pass")


def test_pictures_without_an_option_are_answered_without_what_reads_options() -> None:
    code = "import sys\nfrom ftsdk.cli.analyze import main"
    modules = loaded(
        f"{code}\ntry: main()\nexcept SystemExit: pass", SDK / "models/nano/golden/picture.png"
    )
    assert "onnxruntime" in modules
    assert not {"asyncio", "psutil", "pydantic", "typer", "rich", "PIL"} & set(modules)


def test_every_public_name_is_there_and_they_are_sorted() -> None:
    assert ftsdk.__all__ == sorted(ftsdk.__all__)
    assert len(set(ftsdk.__all__)) == len(ftsdk.__all__)
    assert dir(ftsdk) == ftsdk.__all__
    for name in ftsdk.__all__:
        assert getattr(ftsdk, name) is not None
    tree = ast.parse((SDK / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ftsdk.")
        for alias in node.names
    }
    assert typed == set(ftsdk.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = ftsdk.nothing


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def test_packages_import_each_other_along_the_arrows_only() -> None:
    """docs/architecture.md draws them; the SDK needs none of what the workstation has."""
    for package, allowed in ARROWS.items():
        forbidden = PACKAGES - allowed - {Path(package).name}
        if package == "sdk/ftsdk":
            forbidden |= WORKSTATION
        modules = sorted((REPOSITORY / package).rglob("*.py"))
        assert len(modules) > 1
        wrong = [(path.name, forbidden & set(imports(path))) for path in modules]
        assert [one for one in wrong if one[1]] == [], package


PORTRAIT = Path(__file__).parents[2] / "examples" / "pictures" / "portrait.jpg"
FORBIDDING = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ImportError(name + " is forbidden here")
sys.meta_path.insert(0, Forbid())
import ftsdk
with ftsdk.Analyzer(*sys.argv[2:], device="cpu") as analyzer:
    result = analyzer.analyze(sys.argv[1])
    assert result.report and result.mask.any() is not None
    analyzer.refine(result, regions=["nose"])
    result.plot(), result.to_json()
    assert len(list(analyzer.analyze_many([sys.argv[1]]))) == 1
"""


@pytest.mark.parametrize("model", ["mini", "nano"])
def test_a_whole_analysis_needs_no_workstation_package(
    request: pytest.FixtureRequest, face: Path, model: str
) -> None:
    bundle = [request.getfixturevalue("mini_bundle")] if model == "mini" else []
    if model == "nano" and not (SDK / "models/nano/manifest.json").is_file():
        pytest.skip("the built-in bundle is not there")
    forbidden = sorted(WORKSTATION | {"PIL", "scipy", "skimage", "safetensors"})
    picture = face if model == "mini" else PORTRAIT  # nano answers faces only
    modules = loaded(FORBIDDING.format(forbidden=forbidden), picture, *bundle)
    assert not set(forbidden) & set(modules)
