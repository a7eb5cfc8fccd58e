"""What README.md, docs/ and docstrings show can be typed as it stands.

Python runs, each document's blocks one after the other. Every call of a command is parsed with the
options that the command has. Commands that need nothing that is not here are run too, and what the
document shows below one has to be what it prints.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import griffe
import pytest
import typer
from conftest import REPOSITORY
from documents import DOCUMENTS, Command, commands, furnish, snippets, with_stand_ins
from serving import Server

import ftsdk

COMMANDS = commands()
CALLS = [(command, call) for command in COMMANDS for call in command.calls()]
#: What is run, not only parsed; and what of it is not, since it needs what is not here.
RUN = re.compile(r"(ft-analyze|ft-batch|ft-doctor|curl) ?")
NEEDS = re.compile(r"cuda:|openvino:[gn]pu|http://server|s3://|--ray")
SERVICE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents speak of."""
    folder = tmp_path_factory.mktemp("desk")
    furnish(folder)
    return folder


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_runs(
    document: Path,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    shutil.copytree(desk, tmp_path / "desk", symlinks=True, copy_function=os.link)
    monkeypatch.chdir(tmp_path / "desk")
    names: dict[str, Any] = {}
    for snippet in snippets("python"):
        if snippet.document == document:
            text = with_stand_ins(snippet.text)
            if SERVICE.removeprefix("http://") in text:
                text = text.replace(SERVICE.removeprefix("http://"), server_of(request))
            exec(compile("\n" * snippet.line + text, str(document), "exec"), names)


def server_of(request: pytest.FixtureRequest) -> str:
    """Return host and port of a service that is there."""
    server: Server = request.getfixturevalue("server")
    return server.url.removeprefix("http://")


class ShownOutput(doctest.OutputChecker):
    """Takes any output of an example that shows none."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.mark.parametrize("name", ftsdk.__all__)
def test_the_example_of_a_docstring_runs(
    name: str, desk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(desk, tmp_path / "desk", symlinks=True, copy_function=os.link)
    monkeypatch.chdir(tmp_path / "desk")
    package = griffe.load("ftsdk", search_paths=[REPOSITORY / "sdk"])
    text = with_stand_ins(package[name].docstring.value)
    example = doctest.DocTestParser().get_doctest(text, {"ftsdk": ftsdk}, name, None, None)
    assert example.examples
    failed, _ = doctest.DocTestRunner(ShownOutput()).run(example)
    assert failed == 0


def test_there_is_python_and_there_are_commands() -> None:
    assert snippets("python")
    assert len({call[0] for _, call in CALLS} & {*scripts()}) == len(scripts())


@pytest.mark.parametrize("snippet", snippets("", "sh", "bash"), ids=lambda snippet: snippet.place)
def test_commands_are_in_console_blocks(snippet: Any) -> None:
    assert not re.search(r"^(\$ )?(ft-|pip |make )", snippet.text, re.MULTILINE)


@pytest.mark.parametrize(
    ("command", "call"), CALLS, ids=[f"{command.place} {call[0]}" for command, call in CALLS]
)
def test_a_command_takes_what_it_is_shown_with(
    command: Command, call: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *arguments = call
    monkeypatch.chdir(desk)
    if program in scripts():
        module = importlib.import_module(scripts()[program].partition(":")[0])
        parse(typer.main.get_command(module.app), program, arguments)
    elif program == "python" and arguments[0] == "-m":
        monkeypatch.syspath_prepend(REPOSITORY)
        assert importlib.util.find_spec(arguments[1]), command.line
    elif program == "python":
        assert (REPOSITORY / arguments[0]).is_file(), command.line
    elif program == "make":
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), command.line


RUNNABLE = {c.line: c for c in COMMANDS if RUN.match(c.line) and not NEEDS.search(c.line)}


@pytest.mark.parametrize("command", RUNNABLE.values(), ids=lambda command: command.place)
def test_a_command_runs_and_prints_what_is_shown(
    command: Command, desk: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(desk, tmp_path / "desk", symlinks=True, copy_function=os.link)
    line = command.line
    if line.startswith("curl"):
        server: Server = request.getfixturevalue("server")
        analysis = server.analyze((desk / "face.jpg").read_bytes())["id"]
        line = line.replace("curl", "curl --silent --fail-with-body", 1)
        line = line.replace(SERVICE, server.url).replace('"..."', f'"{analysis}"')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path / "desk",
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " ".join(command.shown.split()) in " ".join(done.stdout.split())


def scripts() -> dict[str, str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names: dict[str, str] = project["scripts"]
    return names


@pytest.mark.parametrize("name", scripts())
def test_every_command_tells_its_version(name: str) -> None:
    command = [Path(sys.executable).parent / name, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (f"{name} {ftsdk.__version__}\n", "")
    assert done.returncode == 0


def parse(command: Any, name: str, arguments: list[str]) -> None:
    """Let a command read its arguments, without running it."""
    inner = getattr(command, "commands", {}).get(arguments[0] if arguments else "")
    if inner:
        command, arguments = inner, arguments[1:]
    command.make_context(name, arguments)
