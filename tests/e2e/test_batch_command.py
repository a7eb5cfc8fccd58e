"""`ft-batch` on a folder."""


from __future__ import annotations

import json
from pathlib import Path

from conftest import REPOSITORY
from typer.testing import CliRunner

from ftsdk.cli import batch

PICTURES = REPOSITORY / "examples" / "pictures"


def test_a_batch_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    folder, answers = tmp_path / "in", tmp_path / "answers.jsonl"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/c.jpg"):
        (folder / name).symlink_to(PICTURES / "portrait.jpg")
    (folder / "b.jpg").write_bytes(b"nothing")
    arguments = [str(folder), "--out", str(answers), "--no-report", "--json"]
    done = CliRunner().invoke(batch.app, arguments)
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"answered": 2, "failed": 1, "answered_before": 0}
    whole = answers.read_bytes()
    answers.write_bytes(whole[:-40])  # as a kill in mid-line leaves it
    done = CliRunner().invoke(batch.app, arguments)
    assert json.loads(done.stdout) == {"answered": 1, "failed": 0, "answered_before": 2}
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [line["file"] for line in lines] == ["a.jpg", "b.jpg", "sub/c.jpg"]
    assert lines[1]["error"]["class"] == "ImageFormatError"
    assert lines[2]["finding"] == lines[0]["finding"]


def test_a_batch_reads_a_list(tmp_path: Path) -> None:
    listed, answers = tmp_path / "list.txt", tmp_path / "answers.jsonl"
    listed.write_text(f"{PICTURES / 'portrait.jpg'}\n\n", encoding="utf-8")
    done = CliRunner().invoke(batch.app, [str(listed), "--out", str(answers)])
    assert done.exit_code == 0, done.output
    assert json.loads(answers.read_text(encoding="utf-8"))["report"]

