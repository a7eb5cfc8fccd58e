"""`ft-bench`: its numbers hang together, and conditions come with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from support.openvino import needs_openvino
from typer.testing import CliRunner

from ft_export import against_optimum
from ftsdk.analyzer import Analyzer
from ftsdk.bench.timed import Bench, Samples
from ftsdk.cli.bench import app
from ftsdk.errors import OptionError
from ftsdk.language.options import Language

PICTURE = REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg"
WEIGHTS = REPOSITORY / "training" / "nano"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one short run wrote."""
    folder = tmp_path_factory.mktemp("bench")
    options = ["--runs", "2", "--rate-seconds", "0.05", "--device", "cpu", "--tokens", "9"]
    files = ["--json", folder / "b.json", "--markdown", folder / "b.md"]
    arguments = [*options, *files, "--picture", PICTURE, "--layers"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def document(written: Path) -> dict[str, Any]:
    """Its numbers."""
    read: dict[str, Any] = json.loads((written / "b.json").read_text(encoding="utf-8"))
    return read


def test_times_hang_together(document: dict[str, Any]) -> None:
    p50 = {name: values["p50"] for name, values in document["milliseconds"].items()}
    assert 0 < p50["to_regions"] < p50["to_mask"] < p50["to_first_token"] < p50["end_to_end"]
    assert set(document["stages"]) <= set(p50)
    assert all(v["p50"] <= v["p95"] <= v["p99"] for v in document["milliseconds"].values())
    assert 0 < document["sdk_share"] < 1
    assert document["settings"]["tokens"] == 9


def test_the_floor_is_that_of_the_ceilings(document: dict[str, Any]) -> None:
    ceilings, stages = document["ceilings"], document["stages"]
    assert stages["language_decoder"]["calls"] == 9
    assert 2.5 < stages["vision_encoder"]["gflop"] < 3  # two operations a multiply-add of 384 px
    for stage in ("language_encoder", "language_decoder"):  # a product a weight and position
        a_position = 2 * stages[stage]["weights_mb"] / 4 / 1e3
        assert 0.8 * a_position * stages[stage]["calls"] < stages[stage]["gflop"]
    computing = 1e3 * stages["mask_decoder"]["gflop"] / ceilings["product_gflop_s"]
    assert stages["mask_decoder"]["floor_ms"] == pytest.approx(computing)
    assert document["floor_ms"] == pytest.approx(sum(s["floor_ms"] for s in stages.values()))


def test_conditions_are_recorded(document: dict[str, Any]) -> None:
    conditions = document["conditions"]
    with Analyzer(device="cpu", threads=1) as analyzer:
        assert conditions["bundle_sha256"] == analyzer.bundle.sha256
    assert conditions["cores"] >= 1
    assert conditions["device"] == "cpu"
    assert {"cpu", "cpu_mhz", "gpu", "power_mode", "precision", "threads"} <= set(conditions)


def test_tables_are_written_and_compared(written: Path) -> None:
    tables = (written / "b.md").read_text(encoding="utf-8")
    assert "| vision encoder |" in tables
    assert "Conditions: " in tables
    done = CliRunner().invoke(app, ["compare", *[str(written / "b.json")] * 2])
    assert done.exit_code == 0, done.output
    assert "| end_to_end |" in done.stdout
    assert "| 1.00 |" in done.stdout


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_plot_is_drawn(written: Path, tmp_path: Path, suffix: str) -> None:
    plot = tmp_path / f"plot{suffix}"
    arguments = ["compare", *[str(written / "b.json")] * 2, "--plot", str(plot)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert plot.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (["--json", "no/b.json"], 1),
        (["--markdown", "/proc/b.md"], 1),
        (["--plot", "no/p.png"], 1),
        (["--plot", "p.xyz"], 2),
        (["--plot", "."], 2),
        (["--json", str(PICTURE), "--picture", str(PICTURE)], 2),
    ],
)
def test_what_cannot_be_written_ends_a_benchmark_before_it_begins(
    place: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ftsdk.cli.bench._open", None)
    done = CliRunner().invoke(app, place)
    assert done.exit_code == code, done.output
    assert "cure" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--against", "torch"],
        ["--against", "nothing", "--weights", str(WEIGHTS)],
        ["compare", str(PICTURE), str(PICTURE)],
        ["--devices", "cpu,opencl"],
        ["--devices", "cpu", "--layers"],
    ],
)
def test_wrong_use_exits_with_2(wrong: list[str]) -> None:
    assert CliRunner().invoke(app, wrong).exit_code == 2


def test_devices_are_measured_by_turns_and_refused_with_reasons(tmp_path: Path) -> None:
    needs_openvino()
    options = ["--devices", "cpu,openvino,openvino:npu", "--runs", "1", "--tokens", "3"]
    files = ["--json", str(tmp_path / "b.json"), "--threads", "1", "--picture", str(PICTURE)]
    done = CliRunner().invoke(app, [*options, *files])
    assert done.exit_code == 0, done.output
    assert "| p50 ms (times the first) | cpu | openvino |" in done.stdout
    document = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    devices = document["devices"]
    assert devices["openvino"]["conditions"]["device"] == "openvino:cpu"
    for device in ("cpu", "openvino"):
        p50 = {name: values["p50"] for name, values in devices[device]["milliseconds"].items()}
        ratio = p50["end_to_end"] / devices["cpu"]["milliseconds"]["end_to_end"]["p50"]
        assert devices[device]["ratios"]["end_to_end"] == pytest.approx(ratio)
    assert document["refused"]["openvino:npu"]["class"] == "DeviceUnavailableError"
    assert "| openvino:npu | " in done.stdout


@pytest.mark.parametrize("rival", ["torch_rival", "transformers_rival"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_rival_is_the_same_model(rival: str, beams: int) -> None:
    import torch

    from ft_export import reference

    torch.set_num_threads(1)
    language = Language(beams=beams, max_new_tokens=20)
    other = getattr(reference, rival)(WEIGHTS, str(WEIGHTS / "architecture.json"), "float32")
    assert "eager" in other.name
    with Analyzer(device="cpu", threads=1, language=language, cache_bytes=0) as analyzer:
        ours = analyzer.analyze(PICTURE)
        other.prepare(analyzer)
        bench = Bench(analyzer, PICTURE)
        bench.analyze()
        theirs = analyzer.analyze(PICTURE)
    assert theirs.report == ours.report
    assert bench.samples.tokens == len(ours.report_ids) - 1
    assert bench.samples.values["vision_encoder"][0] > 0
    assert bench.samples.values["language_decoder"][0] > 0


def test_a_rival_s_tokens_are_compared() -> None:
    weights = ["--weights", str(WEIGHTS)]
    options = ["--runs", "1", "--rate-seconds", "0.05", "--device", "cpu", "--tokens", "3"]
    done = CliRunner().invoke(app, ["--against", "torch", *weights, *options])
    assert done.exit_code == 0, done.output
    assert "times as long**, with the same tokens." in done.stdout


def test_optimum_needs_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="no environment") as caught:
        against_optimum.optimum_rival(WEIGHTS, None, "float32")
    assert caught.value.cure.startswith("make optimum")


def test_percentiles_are_of_what_was_measured() -> None:
    samples = Samples()
    samples.values["step"] = [float(n) for n in range(101)]
    assert samples.percentiles() == {"step": {"p50": 50.0, "p95": 95.0, "p99": 99.0}}
