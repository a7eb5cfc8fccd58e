"""The Open Inference Protocol by Triton's own client, and what it must refuse."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed (extra test)")
pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve)")

from picture_files import encoded, save  # noqa: E402
from PIL import Image  # noqa: E402
from serving import Server, face_png  # noqa: E402

from ftsdk.imaging.decode import decode  # noqa: E402

_SAME = ("score", "finding", "mask", "regions", "report")


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """Triton's client of a server, which closes its connections at the end."""
    with http.InferenceServerClient(server.url.removeprefix("http://")) as connected:
        yield connected


@pytest.fixture
def name(client: Any, server: Server) -> str:
    """The name of the model that is served."""
    document: str = server.client.get("/v1/model").json()["bundle"]
    assert client.is_model_ready(document)
    return document


def _picture(content: bytes, binary: bool) -> Any:
    tensor = http.InferInput("picture", [1, 1], "BYTES")
    data = content if binary else base64.b64encode(content)
    tensor.set_data_from_numpy(np.array([[data]], np.object_), binary_data=binary)
    return tensor


def _answer(found: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(found.as_numpy("answer")[0, 0])
    return document


def test_the_client_finds_server_and_model(client: Any, name: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(name, "1")
    assert not client.is_model_ready(name, "2")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    described = client.get_model_metadata(name)
    assert described == client.get_model_metadata(name, "1")
    assert [one["name"] for one in described["inputs"]] == ["picture", "pixels", "regions"]
    assert [one["name"] for one in described["outputs"]] == ["answer", "mask", "heatmap"]


@pytest.mark.parametrize("binary", [True, False])
def test_a_picture_gets_the_answer_of_the_other_api(
    client: Any, name: str, server: Server, binary: bool
) -> None:
    expected = server.analyze(face_png())
    wanted = [
        http.InferRequestedOutput(one, binary_data=binary) for one in ("answer", "mask", "heatmap")
    ]
    found = client.infer(name, [_picture(face_png(), binary)], outputs=wanted, request_id="seven")
    assert found.get_response()["id"] == "seven"
    answer = _answer(found)
    assert {key: answer[key] for key in _SAME} == {key: expected[key] for key in _SAME}
    kept = server.client.get(f"/v1/analyses/{answer['id']}").json()
    assert kept == answer
    mask, heatmap = found.as_numpy("mask"), found.as_numpy("heatmap")
    sides = answer["picture"]["height"], answer["picture"]["width"]
    assert mask.shape == heatmap.shape == (1, *sides)
    assert mask.mean() == pytest.approx(answer["mask"]["area"])
    assert np.array_equal(heatmap > answer["mask"]["threshold"], mask.astype(bool))


@pytest.mark.parametrize("color", ["bgr", "rgb"])
def test_pixels_get_the_answer_of_their_file(
    client: Any, name: str, server: Server, color: str
) -> None:
    pixels = decode(encoded("png")).pixels
    tensor = http.InferInput("pixels", [1, *pixels.shape], "UINT8")
    given = pixels if color == "bgr" else np.ascontiguousarray(pixels[:, :, ::-1])
    tensor.set_data_from_numpy(given[None])
    answer = _answer(client.infer(name, [tensor], parameters={"color": color, "name": "a.png"}))
    expected = server.analyze(encoded("png"))
    assert {key: answer[key] for key in _SAME} == {key: expected[key] for key in _SAME}
    assert answer["picture"]["name"] == "a.png"


def test_pixels_may_be_nested_arrays(name: str, server: Server) -> None:
    pixels = decode(encoded("png")).pixels
    shape = [1, *pixels.shape]
    flat, nested = (
        server.client.post(
            f"/v2/models/{name}/versions/1/infer",
            json={
                "inputs": [{"name": "pixels", "shape": shape, "datatype": "UINT8", "data": data}],
                "outputs": [{"name": "answer"}],
                "parameters": {"report": False},
            },
        ).json()
        for data in (pixels.reshape(-1).tolist(), [pixels.tolist()])
    )
    documents = [json.loads(one["outputs"][0]["data"][0]) for one in (flat, nested)]
    assert documents[0]["mask"] == documents[1]["mask"]
    assert documents[0]["report"] is None


def test_regions_of_a_user_are_used(client: Any, name: str, server: Server) -> None:
    label = server.client.get("/v1/model").json()["labels"][0]
    regions = http.InferInput("regions", [1, 1], "BYTES")
    regions.set_data_from_numpy(np.array([[label.encode()]], np.object_))
    found = _answer(client.infer(name, [_picture(face_png(), True), regions]))
    assert [region["name"] for region in found["regions"]] == [label]
    assert found["corrections"] == ["regions"]


def _tensor(**changed: Any) -> dict[str, Any]:
    content = base64.b64encode(face_png()).decode()
    plain = {"name": "picture", "shape": [1, 1], "datatype": "BYTES", "data": [content]}
    return {"inputs": [plain | changed]}


def _pixels(**changed: Any) -> dict[str, Any]:
    plain = {"name": "pixels", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": [1] * 6}
    return _tensor(**(plain | changed))


def test_a_large_file_comes_whole_through_json(server: Server, name: str) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (800, 800, 3), np.uint8)
    content = save(Image.fromarray(noise), "PNG")
    broken = base64.b64encode(content).decode()[:-8] + "!!!!!!!!"
    request = _tensor(data=[base64.b64encode(content).decode()])
    request["outputs"] = [{"name": "answer"}]
    answer = server.client.post(f"/v2/models/{name}/infer", json=request).json()
    found = json.loads(answer["outputs"][0]["data"][0])
    assert found["picture"]["sha256"] == hashlib.sha256(content).hexdigest()
    refused = server.client.post(f"/v2/models/{name}/infer", json=_tensor(data=[broken]))
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": [_tensor()["inputs"][0], _pixels()["inputs"][0]]},
        {"inputs": [_tensor()["inputs"][0]] * 2},
        _tensor(name="image"),
        _tensor(name="answer"),
        _tensor(datatype="UINT8"),
        _tensor(datatype="FP8"),
        _tensor(shape=[2]),
        _tensor(shape=[1]),
        _tensor(shape=[2, 1]),
        _tensor(shape=[1, 2]),
        _tensor(shape=[]),
        _tensor(shape=[-1]),
        _tensor(shape=["1"]),
        _tensor(data=["no base64!"]),
        _tensor(data=[1]),
        _tensor(data=[]),
        _tensor(data=None),
        _tensor(data="AA=="),
        _tensor(parameters={"binary_data_size": 4}),
        _tensor(data=None, parameters={"binary_data_size": 4}),
        _tensor(data=None, parameters={"binary_data_size": -4}),
        _tensor(data=None, parameters={"binary_data_size": "4"}),
        _pixels(shape=[1, 1, 2, 4], data=[1] * 8),
        _pixels(shape=[1, 2, 3]),
        _pixels(shape=[1, 2**31, 2**31, 3]),
        _pixels(data=[1] * 5),
        _pixels(data=[256] * 6),
        _pixels(data=[-1] * 6),
        _pixels(data=[1.5] * 6),
        _pixels(data=[True] * 6),
        _pixels(data=[[1, 2], [3]]),
        _pixels(data=[10**30] * 6),
        _pixels(data=["a"] * 6),
        _pixels(shape=[1, 300, 300, 3], data=[1] * 270_000),
        _tensor() | {"outputs": [{"name": "nothing"}]},
        _pixels() | {"parameters": {"color": "cmyk"}},
    ],
)
def test_what_the_model_does_not_take_is_refused_in_one_sentence(
    server: Server, name: str, request_: dict[str, Any]
) -> None:
    answer = server.client.post(f"/v2/models/{name}/infer", json=request_)
    assert answer.status_code == 400, answer.text[:500]
    assert list(answer.json()) == ["error"]
    assert "expected: " in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"%PDF-1.7\n" + bytes(64), 415),
        (b"GIF89a" + bytes(64), 422),  # of 0x0 pixels
        (encoded("jpeg")[:400], 422),
    ],
)
def test_a_bad_picture_has_the_status_of_the_other_api(
    client: Any, name: str, content: bytes, status: int
) -> None:
    with pytest.raises(http.InferenceServerException, match="expected: ") as caught:
        client.infer(name, [_picture(content, True)])
    assert caught.value.status() == str(status)


def _binary(server: Server, name: str, body: bytes, length: int | str) -> Any:
    headers = {"Inference-Header-Content-Length": str(length)}
    return server.client.post(f"/v2/models/{name}/infer", content=body, headers=headers)


@pytest.mark.parametrize(
    "binary",
    [
        b"",
        b"\x01\0\0",
        struct.pack("<I", 2**32 - 1) + b"x",
        struct.pack("<I", 1) * 2,
        struct.pack("<I", 0) * 5000,
    ],
)
def test_a_binary_part_that_lies_is_refused(server: Server, name: str, binary: bytes) -> None:
    tensor = _tensor(parameters={"binary_data_size": len(binary)})
    del tensor["inputs"][0]["data"]
    head = json.dumps(tensor).encode()
    for body in (head + binary, head + binary + b"more"):
        assert _binary(server, name, body, len(head)).status_code == 400


@pytest.mark.parametrize("length", ["-1", "x", "9" * 11, "3"])
def test_a_header_length_that_lies_is_refused(server: Server, name: str, length: str) -> None:
    head = json.dumps(_tensor()).encode()
    assert _binary(server, name, head, length).status_code == 400


def test_a_model_or_version_that_is_not_there_is_named(client: Any, name: str) -> None:
    for model, version in ((name, "2"), ("another", "")):
        with pytest.raises(http.InferenceServerException, match=f"'{name}', version 1") as caught:
            client.infer(model, [_picture(face_png(), True)], model_version=version)
        assert caught.value.status() == "404"


def test_a_body_larger_than_the_limit_is_refused(client: Any, name: str) -> None:
    with pytest.raises(http.InferenceServerException, match="too large") as caught:
        client.infer(name, [_picture(bytes(50_000_000), True)])
    assert caught.value.status() == "413"


def test_a_compressed_request_is_refused(client: Any, name: str) -> None:
    with pytest.raises(http.InferenceServerException, match="without compression"):
        client.infer(name, [_picture(face_png(), True)], request_compression_algorithm="gzip")


def test_the_token_and_the_counters_are_those_of_the_other_api(
    token_server: Server, name: str
) -> None:
    url = token_server.url.removeprefix("http://")
    with http.InferenceServerClient(url) as stranger:
        assert stranger.is_server_live()
        with pytest.raises(http.InferenceServerException, match="token") as caught:
            stranger.infer(name, [_picture(face_png(), True)])
        assert caught.value.status() == "401"
        right = {"Authorization": f"Bearer {'t' * 32}"}
        line = 'ftsdk_analyses_total{outcome="finished"} '
        metrics = token_server.client.get("/metrics", headers=right).text
        stranger.infer(name, [_picture(face_png(), True)], headers=dict(right))
        after = token_server.client.get("/metrics", headers=right).text
        counts = [float(text.split(line)[1].split()[0]) for text in (metrics, after)]
        assert counts[1] == counts[0] + 1
