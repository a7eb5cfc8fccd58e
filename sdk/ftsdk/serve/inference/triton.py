"""What Triton's Python back end calls: batches of requests over one analyzer.

`backend` is its module `triton_python_backend_utils`, which is to be had inside Triton only.
Source: https://github.com/triton-inference-server/python_backend
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftsdk.analyzer import Analyzer
from ftsdk.cancellation import Cancellation
from ftsdk.errors import AnalysisCancelledError, FtsdkError, InputError, RequestError
from ftsdk.serve.analyses import Analysis, analysis_of
from ftsdk.serve.faults import described, sentence
from ftsdk.serve.inference.documents import INPUTS, OUTPUTS, PICTURE, REGIONS, Tensor
from ftsdk.serve.inference.values import Options, picture_input, value_of
from ftsdk.serve.picture_file import Asked
from ftsdk.stopwatch import Stopwatch
from ftsdk.trust import BundleName

#: The bundle's directory beside model.py, and what config.pbtxt says of it.
BUNDLE, BUNDLE_SHA256, TIMEOUT, MAX_PIXELS = "bundle", "bundle_sha256", "timeout", "max_pixels"
# How long a client that went away, or a picture that takes too long, is still worked for.
_ASK_SECONDS = 0.05
# The first class that fits; what is not here is INTERNAL.
_CODES: tuple[tuple[type[FtsdkError], str], ...] = (
    (InputError, "INVALID_ARG"),
    (RequestError, "INVALID_ARG"),
    (AnalysisCancelledError, "CANCELLED"),
)


@dataclass
class _Started:
    """A request under way: its pictures' analyses, and what gives them up."""

    request: Any
    analyses: list[Future[Analysis]]
    cancellation: Cancellation
    deadline: float
    late: bool = False

    def give_up_if_unwanted(self) -> None:
        """Give up what the client has cancelled, or what is not there in time."""
        if self.cancellation.cancelled or all(future.done() for future in self.analyses):
            return
        self.late = monotonic() > self.deadline
        if self.late or self.request.is_cancelled():
            self.cancellation.cancel()


class TritonModel:
    """A bundle as an instance of a Triton model: as many pictures at once as a batch may hold.

    Args:
        backend: the module `triton_python_backend_utils`.
        arguments: what Triton hands to `initialize`.

    Raises:
        BundleError: the bundle is damaged, or not the one that was exported.
        EngineError: no runtime, or not on the instance's device.
    """

    def __init__(self, backend: Any, arguments: Mapping[str, str]) -> None:
        self._backend = backend
        config = json.loads(arguments["model_config"])
        settings = {name: one["string_value"] for name, one in config["parameters"].items()}
        folder = Path(arguments["model_repository"]) / arguments["model_version"] / BUNDLE
        self._timeout = float(settings[TIMEOUT])
        self._analyzer = Analyzer(
            BundleName(folder, settings[BUNDLE_SHA256]),
            device=_device(arguments),
            isolate_decoding=True,
            max_pixels=int(settings[MAX_PIXELS]),
        )
        self._threads = ThreadPoolExecutor(config["max_batch_size"], "picture")
        bundle = self._analyzer.bundle
        self._analyzer.analyze(bundle.read(bundle.manifest.golden_picture))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return a response to each request of a batch."""
        started = [self._start(request) for request in requests]
        left = {future for one in started for future in one.analyses}
        while left:
            left = wait(left, _ASK_SECONDS).not_done
            for one in started:
                one.give_up_if_unwanted()
        return [self._response(one) for one in started]

    def close(self) -> None:
        """Free everything."""
        self._threads.shutdown()
        self._analyzer.close()

    def _start(self, request: Any) -> _Started:
        cancellation, deadline = Cancellation(), monotonic() + self._timeout
        try:
            pictures = self._asked(request)
        except Exception as error:
            refused: Future[Analysis] = Future()
            refused.set_exception(error)
            return _Started(request, [refused], cancellation, deadline)
        analyses = [self._threads.submit(self._analyze, one, cancellation) for one in pictures]
        return _Started(request, analyses, cancellation, deadline)

    def _analyze(self, asked: Asked, cancellation: Cancellation) -> Analysis:
        result = self._analyzer.analyze(
            asked.upload.open(),
            regions=asked.regions,
            report=asked.report,
            cancellation=cancellation,
        )
        data = asked.upload.data
        credentials = self._analyzer.reader.credentials(data, Stopwatch(None, cancellation))
        return analysis_of(result, data, credentials, asked.regions)

    def _asked(self, request: Any) -> list[Asked]:
        """Return what is asked about each picture of a request."""
        given = {}
        for tensor in INPUTS:
            found = self._backend.get_input_tensor_by_name(request, tensor.name)
            if found is not None:
                given[tensor.name] = found.as_numpy()
        options = Options.of(json.loads(request.parameters() or "{}"))
        name = picture_input(given)
        pictures = given[name]
        regions = given.get(REGIONS.name)
        files = (
            [bytes(file) for (file,) in pictures]
            if name == PICTURE.name
            else [options.as_file(pixels) for pixels in pictures]
        )
        return [
            Asked(
                options.upload(file),
                None if regions is None else _names(regions[at]),
                options.report,
            )
            for at, file in enumerate(files)
        ]

    def _response(self, one: _Started) -> Any:
        try:
            analyses = [future.result() for future in one.analyses]
            wanted = one.request.requested_output_names()
            outputs = [
                self._backend.Tensor(tensor.name, _stacked(tensor, analyses))
                for tensor in OUTPUTS
                if tensor.name in wanted
            ]
            return self._backend.InferenceResponse(outputs)
        except Exception as error:
            known = _too_late(self._timeout) if one.late else described(error)
            return self._refusal(known, "UNAVAILABLE" if one.late else _code(known))

    def _refusal(self, error: FtsdkError, code: str) -> Any:
        kind = self._backend.TritonError
        return self._backend.InferenceResponse([], kind(sentence(error), getattr(kind, code)))


def _code(error: FtsdkError) -> str:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "INTERNAL")


def _too_late(seconds: float) -> AnalysisCancelledError:
    return AnalysisCancelledError(
        "the analysis took too long",
        expected=f"an answer within {seconds:g} s, as config.pbtxt has it",
        found="none",
        cure="ask for no report (the parameter report), or raise 'timeout' in config.pbtxt",
    )


def _device(arguments: Mapping[str, str]) -> str:
    if arguments["model_instance_kind"] == "GPU":
        return f"cuda:{arguments['model_instance_device_id']}"
    return "cpu"


def _names(row: NDArray[np.object_]) -> list[str]:
    return [name.decode(errors="replace") for name in row]


def _stacked(tensor: Tensor, analyses: Sequence[Analysis]) -> NDArray[Any]:
    """Return an output of a request, [pictures, ...].

    Raises:
        RequestError: its pictures differ in size.
    """
    values = [value_of(tensor, analysis) for analysis in analyses]
    if isinstance(values[0], bytes):
        return np.array([[value] for value in values], np.object_)
    arrays = [np.asarray(value) for value in values]
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    raise RequestError(
        f"the output '{tensor.name}' has no shape for these pictures together",
        expected="pictures of one size in a request",
        found=", ".join(str(array.shape) for array in arrays),
        cure="send each in a request of its own, or ask for the output 'answer' alone",
    )
