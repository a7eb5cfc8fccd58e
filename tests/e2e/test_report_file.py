"""`ft-analyze --report`, `Result.to_html` and the service write the same file."""

from __future__ import annotations

import re
from pathlib import Path

from serving import Server, face_png
from typer.testing import CliRunner

from ftsdk.analyzer import Analyzer
from ftsdk.cli.analyze import app

# What differs from one run to the next: times, and how long each step took.
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00|[\d.]+ ms")


def _timeless(document: str) -> str:
    return _TIMES.sub("", document)


def test_three_ways_to_one_report(server: Server, served_bundle: Path, tmp_path: Path) -> None:
    picture, report = tmp_path / "face.png", tmp_path / "report.html"
    picture.write_bytes(face_png(5))
    bundle = ["--bundle", str(served_bundle), "--device", "cpu"]
    done = CliRunner().invoke(app, [str(picture), *bundle, "--report", str(report)])
    assert done.exit_code == 0, done.output
    with Analyzer(served_bundle, device="cpu") as analyzer:
        by_hand = analyzer.analyze(picture).to_html(original=picture)
    key = server.analyze(face_png(5), name="face.png")["id"]
    served = server.client.get(f"/v1/analyses/{key}/report.html").text
    assert _timeless(report.read_text(encoding="utf-8")) == _timeless(by_hand) == _timeless(served)


def test_a_report_is_about_one_picture(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["a.png", "b.png", "--report", str(tmp_path / "r.html")])
    assert done.exit_code == 2
