"""The document of `benchmarks.gpu.check` as Markdown."""

from __future__ import annotations

from typing import Any

from ftsdk.bench.tables import table

#: Figures that have a table of their own.
_COSTS = ("p50 ms", "tokens/s", "host peak MiB", "device MiB")


def markdown(document: dict[str, Any]) -> str:
    """Return what was checked, and what each runtime cost."""
    machine, versions = document["machine"], document["versions"]
    driver = machine.get("GPU 0", "no NVIDIA driver")
    installed = ", ".join(
        f"{name} {version}"
        for name, version in versions.items()
        if name.startswith(("ftsdk", "onnxruntime", "tensorrt", "cuda-bindings"))
    )
    head = (
        f"{document['gpu'] or 'No GPU'} ({driver}); {machine['processor']}; {installed}; commit "
        f"{document['commit'] or 'unknown'}; {document['created']}, {document['seconds']:.0f} s."
    )
    return "\n\n".join((head, _checks(document["checks"]), _costs(document["checks"])))


def _checks(checks: list[dict[str, Any]]) -> str:
    rows = [
        (one["name"], one["status"], one["on"], one["reason"] or _figures(one["figures"]))
        for one in checks
    ]
    return table(("check", "result", "on", "figures, or why not"), rows)


def _figures(figures: dict[str, Any]) -> str:
    shown = ((name, value) for name, value in figures.items() if name not in _COSTS)
    return ", ".join(f"{name} {value}" for name, value in shown)


def _costs(checks: list[dict[str, Any]]) -> str:
    timed = [one for one in checks if "p50 ms" in one["figures"]]
    if not timed:
        return "Nothing was timed."
    every = [one["figures"]["p50 ms"] for one in timed]
    rows = [
        (f"{step.replace('_', ' ')}, ms", *(_cell(steps.get(step)) for steps in every))
        for step in every[0]
    ]
    rows += [(name, *(_cell(one["figures"][name]) for one in timed)) for name in _COSTS[1:]]
    return table(("p50", *(one["name"] for one in timed)), rows)


def _cell(value: object) -> str:
    return "not measured" if value is None else f"{value}"
