"""`ft-export --triton` by a real Triton server: the answers of direct calls, and its refusals."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from serving import Server, face_png, free_port
from typer.testing import CliRunner

endless = pytest.importorskip("endless", reason="onnx is not installed (extra export)")
http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed (extra test)")

from support.triton import TritonServer, environment, site_packages, unavailable  # noqa: E402

from ft_export.cli import app  # noqa: E402
from ftsdk.analyzer import Analyzer  # noqa: E402
from ftsdk.imaging.decode import decode  # noqa: E402

CANCELLING = REPOSITORY / "tests" / "support" / "triton_cancelling.py"
FORGED = (REPOSITORY / "examples" / "pictures" / "portrait_forged.jpg").read_bytes()
_SAME = ("score", "finding", "mask", "regions", "report", "cannot_tell")
_CLIENTS = 64


def _exported(bundle: str | Path, repository: Path) -> Path:
    done = CliRunner().invoke(app, [str(bundle), "--triton", str(repository), "--json"])
    assert done.exit_code == 0, done.output
    return Path(json.loads(done.stdout)["model"])


def _edit(model: Path, *changes: tuple[str, str]) -> None:
    """Replace patterns in a model's config.pbtxt, each of which is there."""
    config = model / "config.pbtxt"
    text = config.read_text(encoding="utf-8")
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    config.write_text(text, encoding="utf-8")


def _python(folder: Path, *packages: Path) -> tuple[str, str]:
    """Make an environment of these alone, and return the change that makes a model use it."""
    venv.create(folder, symlinks=True)
    lines = "\n".join(map(str, packages))
    (site_packages(folder) / "only.pth").write_text(lines, encoding="utf-8")
    entry = f'{{ key: "EXECUTION_ENV_PATH" value: {{ string_value: "{folder}" }} }}'
    return r"parameters \[", f"parameters [\n  {entry},"


def _repository(root: Path, bundle: Path) -> Path:
    """Write a good model, two whose pictures may be endless, and four that must not load."""
    repository = root / "models"
    good = _exported(bundle, repository)
    slow = endless.write_bundle(bundle, root / "endless.bundle")
    shutil.move(_exported(slow, root / "slow"), repository / "endless")
    rename = (r'name: "[\w.-]+"\nbackend', 'name: "{}"\nbackend')
    numpy_1 = site_packages(environment())
    bare = root / "bare"
    bare.mkdir()
    for part in ("numpy", "numpy.libs"):
        (bare / part).symlink_to(numpy_1 / part)
    changes: dict[str, list[tuple[str, str]]] = {
        "endless": [],
        "impatient": [(r'("timeout" value: { string_value: )"120"', r'\1"1"')],
        "altered": [],
        "other_ftsdk": [(r'("ftsdk" value: { string_value: )"[^"]*"', r'\1"9.9"')],
        "numpy_2": [_python(root / "new", Path(np.__file__).parents[1])],
        "packages": [_python(root / "old", bare)],
    }  # fmt: skip
    for name, edits in changes.items():
        if name != "endless":
            source = repository / "endless" if name == "impatient" else good
            shutil.copytree(source, repository / name)
        _edit(repository / name, (rename[0], rename[1].format(name)), *edits)
    altered = repository / "altered" / "1" / "bundle" / "manifest.json"
    altered.write_text(altered.read_text(encoding="utf-8") + " ", encoding="utf-8")
    return repository


@pytest.fixture(scope="module")
def triton(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server with the models of `_repository`."""
    if reason := unavailable():
        pytest.skip(reason)
    root = tmp_path_factory.mktemp("triton")
    repository = _repository(root, served_bundle)
    running = TritonServer(repository, root / "log", free_port(), free_port())
    try:
        running.wait_until_live()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def client(triton: TritonServer) -> Iterator[Any]:
    """Triton's client, with a connection for each of many requests."""
    with http.InferenceServerClient(triton.http, concurrency=_CLIENTS) as connected:
        yield connected


@pytest.fixture(scope="module")
def name(client: Any, served_bundle: Path) -> str:
    """The name of the model that loads."""
    model: str = json.loads((served_bundle / "manifest.json").read_bytes())["name"]
    assert client.is_model_ready(model)
    return model


def _picture(*files: bytes) -> Any:
    tensor = http.InferInput("picture", [len(files), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file] for file in files], np.object_))
    return tensor


def _answers(found: Any) -> list[dict[str, Any]]:
    return [json.loads(one) for (one,) in found.as_numpy("answer")]


def _same(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in _SAME}


def test_64_requests_at_once_get_the_answers_of_direct_calls(
    client: Any, name: str, served_bundle: Path
) -> None:
    questions = [(FORGED, True), *((face_png(mark), mark == 0) for mark in range(7))]
    with Analyzer(served_bundle, device="cpu") as analyzer:
        expected = [analyzer.analyze(file, report=report) for file, report in questions]
    asked = [
        client.async_infer(name, [_picture(file)], parameters={"report": report})
        for file, report in questions * (_CLIENTS // len(questions))
    ]
    for number, one in enumerate(asked):
        found, result = one.get_result(), expected[number % len(questions)]
        (answer,) = _answers(found)
        assert _same(answer) == _same(json.loads(result.to_json()))
        assert np.array_equal(found.as_numpy("mask"), result.mask[None])
        assert np.array_equal(found.as_numpy("heatmap"), result.heatmap[None])
    (counted,) = client.get_inference_statistics(name)["model_stats"]
    assert counted["inference_stats"]["success"]["count"] >= _CLIENTS
    assert max(batch["batch_size"] for batch in counted["batch_stats"]) == 4


def test_ft_serve_answers_the_same_to_the_same_request(
    client: Any, name: str, server: Server
) -> None:
    pixels = decode(FORGED).pixels
    tensor = http.InferInput("pixels", [1, *pixels.shape], "UINT8")
    tensor.set_data_from_numpy(np.ascontiguousarray(pixels[:, :, ::-1])[None])
    regions = http.InferInput("regions", [1, 2], "BYTES")
    regions.set_data_from_numpy(np.array([[b"nose", b"lip"]], np.object_))
    questions = [
        ([_picture(FORGED)], {"name": "a.jpg"}),
        ([tensor], {"color": "rgb", "report": False}),
        ([_picture(FORGED), regions], None),
    ]
    with http.InferenceServerClient(server.url.removeprefix("http://")) as other:
        described = [one.get_model_metadata(name) for one in (client, other)]
        for side in ("inputs", "outputs"):
            here, there = (
                [(t["name"], t["datatype"], t["shape"][1:]) for t in d[side]] for d in described
            )
            assert here == there
        for inputs, parameters in questions:
            (here,), (there,) = (
                _answers(one.infer(name, inputs, parameters=parameters)) for one in (client, other)
            )
            assert here.keys() == there.keys()
            assert _same(here) == _same(there)
            for key in ("picture", "corrections", "content_credentials"):
                assert here[key] == there[key]
            assert [edit["regions"] for edit in here["edits"]] == [
                edit["regions"] for edit in there["edits"]
            ]


def test_a_request_may_hold_several_pictures(client: Any, name: str) -> None:
    files = FORGED, face_png(1), face_png(2)
    alone = [_answers(client.infer(name, [_picture(file)]))[0] for file in files]
    wanted = [http.InferRequestedOutput("answer")]
    together = _answers(client.infer(name, [_picture(*files)], outputs=wanted))
    assert [_same(one) for one in together] == [_same(one) for one in alone]
    assert client.infer(name, [_picture(*files[1:])]).as_numpy("mask").shape == (2, 104, 100)
    with pytest.raises(http.InferenceServerException, match=r"one size.*'answer' alone"):
        client.infer(name, [_picture(*files)])


@pytest.mark.parametrize(
    "content",
    [b"", b"%PDF-1.7\n" + bytes(64), FORGED[:3000], b"GIF89a" + bytes(64)],
    ids=["nothing", "no picture", "cut off", "no pixels"],
)
def test_a_bad_picture_is_refused_with_the_cure_that_ft_serve_names(
    client: Any, name: str, server: Server, content: bytes
) -> None:
    texts = []
    with http.InferenceServerClient(server.url.removeprefix("http://")) as other:
        for one in (client, other):
            with pytest.raises(http.InferenceServerException, match="expected: ") as caught:
                one.infer(name, [_picture(content)])
            texts.append(caught.value.message())
            assert caught.value.status()[0] == "4"
    assert texts[0] == texts[1]


def test_what_the_model_does_not_take_is_refused(client: Any, name: str) -> None:
    pixels = http.InferInput("pixels", [1, 40, 40, 3], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 40, 40, 3), np.uint8))
    strange = http.InferInput("regions", [1, 1], "BYTES")
    strange.set_data_from_numpy(np.array([[b"horn"]], np.object_))
    for inputs, parameters, words in (
        ([_picture(FORGED), pixels], None, "no picture.*found: picture, pixels"),
        ([strange], None, "no picture.*found: neither"),
        ([pixels], {"color": "cmyk"}, "channel order.*found: cmyk"),
        ([_picture(FORGED), strange], None, "horn"),
    ):
        with pytest.raises(http.InferenceServerException, match=words) as caught:
            client.infer(name, inputs, parameters=parameters)
        assert caught.value.status() == "400"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("altered", "is not the bundle that was pinned.*expected: .*found: .*cure: "),
        ("other_ftsdk", r"exported by another ftsdk; expected: ftsdk 9\.9; found: .*export it"),
        ("numpy_2", r"this NumPy's arrays; expected: NumPy below 2; found: 2\..*requirements\.txt"),
        ("packages", r"missing.*No module named 'ftsdk'; run .*requirements\.txt"),
    ],
)
def test_a_model_that_cannot_load_says_why(client: Any, model: str, words: str) -> None:
    (entry,) = [one for one in client.get_model_repository_index() if one["name"] == model]
    assert entry["state"] == "UNAVAILABLE"
    assert re.search(words, entry["reason"], re.DOTALL), entry["reason"]
    assert not client.is_model_ready(model)


def test_cancelled_requests_stop_using_the_engine(triton: TritonServer, tmp_path: Path) -> None:
    pictures = tmp_path / "endless.png", tmp_path / "face.png"
    for path, content in zip(pictures, (endless.WHITE, face_png()), strict=True):
        path.write_bytes(content)
    command = [environment() / "bin" / "python", CANCELLING, triton.grpc, *pictures]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["early"] == []
    face = said["came"].pop("face", None)
    assert said["came"] == {f"endless {number}": "StatusCode.CANCELLED" for number in range(4)}
    assert face, f"no answer once the threads were free: {triton.log()}"
    assert face["finding"]


def test_a_picture_that_takes_too_long_is_given_up(client: Any) -> None:
    with pytest.raises(http.InferenceServerException, match=r"within 1 s.*'timeout'") as caught:
        client.infer("impatient", [_picture(endless.WHITE)])
    assert caught.value.status() == "503"
