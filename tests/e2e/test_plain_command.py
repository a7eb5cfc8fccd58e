"""`ft-analyze` with nothing but pictures, which no reader of options sees: it does the same."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import REPOSITORY

from ftsdk.cli.terminal import say

FORGED = REPOSITORY / "examples/pictures/portrait_forged.jpg"
COMMAND = (sys.executable, "-c", "from ftsdk.cli.analyze import main; main()")


def run(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        check=False,
    )


def test_it_prints_what_it_prints_with_an_option() -> None:
    plain, with_option = run(FORGED), run(FORGED, "--device", "cpu")
    without_time = [re.sub(r"\d+ ms", "", done.stdout) for done in (plain, with_option)]
    assert without_time[0] == without_time[1]
    assert "Manipulation suspected" in plain.stdout
    assert (plain.returncode, plain.stderr) == (0, "")


def test_what_cannot_be_analysed_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    done = run(tmp_path / "a.jpg", FORGED)
    assert done.returncode == 1
    assert "Manipulation suspected" in done.stdout
    assert re.search(r"a\.jpg: .*\n +expected .*\n +found .*\n +cure ", done.stderr)


def test_wrong_use_is_code_2(tmp_path: Path) -> None:
    done = run(FORGED, tmp_path / "video.mp4")
    assert done.returncode == 2
    assert "one video at a time" in done.stderr
    assert run().returncode == 2


def test_signals_and_a_reader_that_leaves_end_it_without_a_word() -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)):
        with subprocess.Popen(
            [*COMMAND, *[str(FORGED)] * 200],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A shell's background jobs, and what they start, ignore it.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline()
            if number:  # and the reader stays: or it is chance which of the two ends it
                running.send_signal(number)
                assert running.communicate(timeout=60)[1] == b""
            else:
                running.stdout.close()
                assert running.stderr.read() == b""
            assert running.wait(60) == code


@pytest.mark.parametrize(("setting", "styled"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_it_is_styled_on_a_terminal_alone(setting: dict[str, str], styled: bool) -> None:
    ours, theirs = pty.openpty()
    code = "from ftsdk.cli.terminal import say; say('\\x1b[5m[bold]', 'bold')"
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | setting
    subprocess.run(
        [sys.executable, "-c", code], stdout=theirs, env=environment | {"TERM": "xterm"}, check=True
    )
    shown = os.read(ours, 100)
    assert shown == (b"\x1b[1m\\x1b[5m[bold]\x1b[0m\r\n" if styled else b"\\x1b[5m[bold]\r\n")
    for handle in (ours, theirs):
        os.close(handle)


def test_text_from_outside_is_not_acted_on(capsys: pytest.CaptureFixture[str]) -> None:
    say("[red]a\x07b[/]", "error")
    say("c", to_error=True)
    assert capsys.readouterr() == ("[red]a\\x07b[/]\n", "c\n")
