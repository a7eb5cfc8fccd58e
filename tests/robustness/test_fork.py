"""An analyzer and other processes: no forked child hangs, and who sends it is told the cure."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from conftest import REPOSITORY

from ftsdk import Analyzer, Failure
from ftsdk.errors import OptionError

PORTRAIT = REPOSITORY / "examples/pictures/portrait.jpg"
FORGED = REPOSITORY / "examples/pictures/portrait_forged.jpg"
SETUP = f"""
import gc, os, sys, ftsdk
from ftsdk.errors import EngineRunError
analyzer = ftsdk.Analyzer(device="cpu", isolate_decoding=True)
analyzer.analyze({str(PORTRAIT)!r})
ftsdk.analyze({str(PORTRAIT)!r}, device="cpu")
sys.stdout.flush()
child = os.fork()
if child == 0:
{{}}
    sys.stdout.flush()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
print(analyzer.analyze({str(FORGED)!r}).finding)  # the parent's own still works
"""
USES = {
    "uses it": f"""
        for picture in ({str(PORTRAIT)!r}, {str(FORGED)!r}):
            try:
                analyzer.analyze(picture)
            except EngineRunError as error:
                print("refused", error.cure)
    """,
    "closes it": "analyzer.close(); print('closed')",
    "drops it": "del analyzer; gc.collect(); print('dropped')",
    "ends": "print('ended')",
    "opens another": f"""
        with ftsdk.Analyzer(device="cpu", isolate_decoding=True) as analyzer:
            print(analyzer.analyze({str(FORGED)!r}).finding)
    """,
    "uses the one-line door": f"print(ftsdk.analyze({str(FORGED)!r}, device='cpu').finding)",
}
EXPECTED = {
    "uses it": ["refused", "refused"],
    "closes it": ["closed"],
    "drops it": ["dropped"],
    "ends": ["ended"],
    "opens another": ["Manipulation suspected"],
    "uses the one-line door": ["Manipulation suspected"],
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("use", USES)
def test_a_child_that(use: str) -> None:
    code = SETUP.format(textwrap.indent(textwrap.dedent(USES[use]), "    "))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *child, parent = done.stdout.splitlines()
    assert "Manipulation suspected" in parent
    assert len(child) == len(EXPECTED[use])
    for line, expected in zip(child, EXPECTED[use], strict=True):
        assert line.startswith(expected)


def test_an_analyzer_stays_and_its_answers_travel() -> None:
    with Analyzer(device="cpu") as analyzer:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            sent = pool.submit(analyzer.analyze, FORGED)
            with pytest.raises(OptionError, match="Pool\\(initializer="):
                sent.result()
        result = analyzer.analyze(FORGED)
        arrived = pickle.loads(pickle.dumps(result))
        assert arrived.to_json() == result.to_json()
        assert analyzer.refine(arrived, ["nose"]).corrections == ("regions",)
        (failure,) = analyzer.analyze_many(["nowhere.jpg"])
    assert isinstance(failure, Failure)
    assert str(pickle.loads(pickle.dumps(failure)).error) == str(failure.error)
