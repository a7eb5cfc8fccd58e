"""Benchmark documents as Markdown, and two of them side by side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_ORDER = ("end_to_end", "to_regions", "to_mask", "to_first_token", "per_token", "sdk")


def markdown(document: dict[str, Any], layers: bool = False) -> str:
    """Return the tables of one benchmark."""
    parts = [_headline(document), _times(document), _limits(document), _rates(document)]
    if against := document.get("against"):
        parts.append(_against(document, against))
    if layers:
        parts.append(_layers(document))
    return "\n\n".join((*parts, _conditions(document)))


def compare(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return p50 of both, and how many times as long the second takes."""
    names = [name for name in one["milliseconds"] if name in other["milliseconds"]]
    rows = []
    for name in _sorted(names):
        a, b = (document["milliseconds"][name]["p50"] for document in (one, other))
        rows.append((name, f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}" if a else ""))
    differing = [
        (name, str(one["conditions"].get(name)), str(other["conditions"].get(name)), "")
        for name in one["conditions"]
        if one["conditions"].get(name) != other["conditions"].get(name)
    ]
    head = ("p50 ms", "first", "second", "second / first")
    return table(head, rows) + "\n\n" + table(("condition", "first", "second", ""), differing)


def compare_devices(document: dict[str, Any]) -> str:
    """Return p50 of each device with its ratio to the first, and why others were refused."""
    measured = document["devices"]
    names = {name: None for entry in measured.values() for name in entry["milliseconds"]}
    rows = [
        (name.replace("_", " "), *(_p50_and_ratio(entry, name) for entry in measured.values()))
        for name in _sorted(names)
    ]
    parts = [f"By turns, p50 of {document['runs']} analyses on each."] if measured else []
    if measured:
        parts.append(table(("p50 ms (times the first)", *measured), rows))
    refused = [(name, f"{e['what']}: {e['found']}") for name, e in document["refused"].items()]
    if refused:
        parts.append(table(("not measured", "why"), refused))
    return "\n\n".join((*parts, *(_conditions({**document, **e}) for e in measured.values())))


def _p50_and_ratio(entry: dict[str, Any], name: str) -> str:
    if name not in entry["milliseconds"]:
        return ""
    ratio = entry["ratios"].get(name)
    times = "" if ratio is None else f" ({ratio:.2f})"
    return f"{entry['milliseconds'][name]['p50']:.2f}{times}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def _headline(document: dict[str, Any]) -> str:
    conditions, settings = document["conditions"], document["settings"]
    best = max(document["pictures_per_second"].values())
    return (
        f"`{conditions['bundle']}` ({conditions['precision']}) on {conditions['device']}, "
        f"{conditions['cores']} cores of {conditions['cpu']}: "
        f"{document['milliseconds']['end_to_end']['p50']:.1f} ms a picture with report (p50 of "
        f"{settings['runs']}, {settings['tokens']:.0f} tokens, {settings['beams']} beams), mask "
        f"after {document['mask_share']:.0%} of it, {document['sdk_share']:.0%} of it outside the "
        f"engines, {document['tokens_per_second']:.0f} tokens/s, {best:.1f} pictures/s at best."
    )


def _times(document: dict[str, Any]) -> str:
    measured = document["milliseconds"]
    rows = [
        (name.replace("_", " "), *(f"{measured[name][p]:.2f}" for p in ("p50", "p95", "p99")))
        for name in _sorted(measured)
    ]
    return table(("ms", "p50", "p95", "p99"), rows)


def _limits(document: dict[str, Any]) -> str:
    rows = [
        (
            stage,
            f"{entry['calls']}",
            f"{entry['weights_mb']:.1f}",
            f"{entry['gflop']:.2f}",
            f"{entry['floor_ms']:.2f}",
            f"{entry['bandwidth_use']:.0%}",
            "" if entry["arithmetic_use"] is None else f"{entry['arithmetic_use']:.0%}",
        )
        for stage, entry in document["stages"].items()
    ]
    ceilings, memory = document["ceilings"], document["memory_mib"]
    head = ("stage", "calls", "weights MB", "GFLOP", "floor ms", "of bandwidth", "of arithmetic")
    device = "not measured" if memory["device"] is None else f"{memory['device']:.0f} MiB"
    return table(head, rows) + (
        f"\n\nA copy moves {ceilings['copy_gb_s']:.1f} GB/s here, a float32 product does "
        f"{ceilings['product_gflop_s']:.0f} GFLOP/s: the engines take at least "
        f"{document['floor_ms']:.1f} ms. Peak memory {memory['host_peak']:.0f} MiB; device "
        f"memory {device}."
    )


def _rates(document: dict[str, Any]) -> str:
    rates = document["pictures_per_second"]
    return table(
        ("callers at once", *rates), [("pictures/s", *(f"{r:.1f}" for r in rates.values()))]
    )


def _against(document: dict[str, Any], against: dict[str, Any]) -> str:
    theirs, ours = against["milliseconds"], document["milliseconds"]
    rows = [
        (
            name.replace("_", " "),
            f"{ours[name]['p50']:.2f}",
            f"{theirs[name]['p50']:.2f}",
            f"{theirs[name]['p50'] / ours[name]['p50']:.2f}",
        )
        for name in _sorted(theirs)
        if name in ours
    ]
    return (
        f"The same weights by {against['runtime']}, between the halves of these runs: "
        f"**{against['ratio']:.2f} times as long**{_tokens(against)}.\n\n"
        + table(("p50 ms", "ftsdk", against["runtime"].split(",")[0], "ratio"), rows)
    )


def _tokens(against: dict[str, Any]) -> str:
    same = against.get("same_tokens")  # documents of before do not say
    return "" if same is None else ", with the same tokens" if same else ", **with other tokens**"


def _layers(document: dict[str, Any]) -> str:
    rows = [
        (stage, operator, f"{milliseconds:.2f}")
        for stage, entry in document["stages"].items()
        for operator, milliseconds in list(entry["operators_ms"].items())[:5]
    ]
    return table(("stage", "operator", "ms of a profiled analysis"), rows)


def _conditions(document: dict[str, Any]) -> str:
    conditions = document["conditions"]
    clocks = conditions["cpu_mhz"]
    facts = {
        "measured": document["created"],
        "threads": conditions["threads"],
        "clock": f"{max(clocks):.0f} MHz" if clocks else "unknown",
        "governor": conditions["governor"] or "unknown",
        "load average": f"{conditions['load_average']:.1f}",
        "GPU": conditions["gpu"] or "none",
        "power mode": conditions["power_mode"] or "unknown",
        "runtime": conditions["runtime"],
        "versions": ", ".join(f"{k} {v}" for k, v in conditions["versions"].items()),
        "bundle": conditions["bundle_sha256"][:16],
    }
    return "Conditions: " + "; ".join(f"{name} {value}" for name, value in facts.items()) + "."
