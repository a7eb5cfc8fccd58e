"""One answer as one HTML file, for an editor, a client or a court."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from ftsdk.answer import Answer, Region
from ftsdk.errors import OptionError
from ftsdk.report.credentials import NOT_HANDED_IN, Credentials, read_credentials
from ftsdk.report.edits import Edit, now
from ftsdk.report.figures import MAX_SIDE, figures
from ftsdk.report.markup import Html, element, join
from ftsdk.report.words import CAUTION, score_note

_STYLE = Path(__file__).with_name("report.css")
# Nothing in the file may run or load, even if something slipped past the escaping.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
Rows = Iterable[tuple[str, str]]


def render(
    result: Answer,
    credentials: Credentials = NOT_HANDED_IN,
    *,
    analyst: str | None = None,
    edits: Sequence[Edit] = (),
) -> str:
    """Return the report as a complete HTML document.

    Args:
        result: the answer.
        analyst: a name to print; nothing proves it.
        edits: corrections in the order in which they were made.
        credentials: what the analysed file says of its origin.
    """
    body = join(
        _head(result, analyst),
        _section("Where", figures(result), _regions(result.regions)),
        _section("Why, in the model's words", _words(result)),
        _others(result),
        _section("Corrections", _edits(result, edits)),
        _section("What the score means", element("p", score_note(result))),
        _section("Limits", _limits(result)),
        _section("Content Credentials of the file", _credentials(credentials)),
        _section("How this was made", _facts(_made(result)), _timings(result)),
        _sign_off(analyst),
    )
    return _document(f"Report on {result.picture.name}", body)


def credentials_of(result: Answer, original: bytes) -> Credentials:
    """Return the Content Credentials in the bytes of the file that was analysed.

    Raises:
        OptionError: `original` is another file than that.
    """
    found = hashlib.sha256(original).hexdigest()
    if found != result.picture.sha256:
        raise OptionError(
            "the original is another file than the one that was analysed",
            expected=f"SHA-256 {result.picture.sha256}",
            found=f"SHA-256 {found}",
            cure="pass the very file that was analysed, or none",
        )
    return read_credentials(original)


def _document(title: str, body: Html) -> str:
    head = join(
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    page = element("html", element("head", head), element("body", element("main", body)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _section(title: str, *children: Html) -> Html:
    return element("section", element("h2", title), *children)


def _head(result: Answer, analyst: str | None) -> Html:
    return element(
        "header",
        element("p", "Picture analysis report", class_="kind"),
        element("h1", result.picture.name),
        element("p", result.finding, class_="finding suspected" if result.suspected else "finding"),
        _marked(result),
        element("p", CAUTION, class_="caution"),
        _facts([("Analyst", analyst or "not stated"), ("Analysed", result.provenance.created),
                ("Report written", now())]),
    )  # fmt: skip


def _marked(result: Answer) -> Html | None:
    if not result.corrections:
        return None
    what = " and ".join(result.corrections)
    return element("p", f"Corrected by the user: {what}. The text was written for these.",
                   class_="marked")  # fmt: skip


def _regions(regions: Sequence[Region]) -> Html:
    if not regions:
        return element("p", "No region stands out.")
    head = element("tr", *(element("th", title, scope="col") for title in
                           ("Region", "Probability", "Covered by the mask")))  # fmt: skip
    rows = (
        element(
            "tr",
            element("th", region.name, scope="row"),
            element("td", _meter(region.probability), f"{region.probability:.2f}"),
            element("td", "not known" if region.area is None else f"{region.area:.0%}"),
        )
        for region in regions
    )
    return element("table", element("thead", head), element("tbody", *rows))


def _meter(share: float) -> Html:
    return element("span", element("span", style=f"width:{share:.0%}"), class_="meter",
                   aria_hidden="true")  # fmt: skip


def _words(result: Answer) -> Html:
    if result.cannot_tell:
        return element("p", "Nothing is said of a picture that the model was not made for.")
    if result.report is None:
        return element("p", "No text was asked for.")
    return element("blockquote", result.report or "The model wrote nothing.")


def _others(result: Answer) -> Html | None:
    """Return what is said of the other faces, if there are any."""
    if not result.others:
        return None
    told = (
        element("li", element("p", _where(face)), element("p", face.finding), _words(face))
        for face in result.others
    )
    return _section("The other faces", element("ol", *told))


def _where(face: Answer) -> str:
    box = face.face
    return f"Face at x {box.x}, y {box.y}, {box.side} px across" if box else "The whole picture"


def _edits(result: Answer, edits: Sequence[Edit]) -> Html:
    if not edits:
        said = "They were made before this report and are not recorded in it."
        return element("p", said if result.corrections else "None; this is the model's own answer.")
    return element("ol", *(element("li", _edit(edit)) for edit in edits))


def _edit(edit: Edit) -> str:
    changes = []
    if edit.regions is not None:
        changes.append(f"regions set to {', '.join(edit.regions) or 'none'}")
    if edit.mask:
        changes.append("mask painted")
    return f"{edit.at}, by {edit.by or 'somebody who gave no name'}: {'; '.join(changes)}"


def _limits(result: Answer) -> Html:
    lines = (*result.picture.notes, *result.warnings)
    return element("ul", *(element("li", line) for line in lines)) if lines else element("p", "-")


def _credentials(credentials: Credentials) -> Html:
    titles = {"not read": "Not read.", "none": "None found.", "present": "Present.",
              "unreadable": "Present or damaged, and not readable."}  # fmt: skip
    note = element("p", element("strong", titles[credentials.state]), " ", credentials.note)
    return join(note, _facts(credentials.facts) if credentials.facts else None)


def _made(result: Answer) -> Rows:
    made, picture = result.provenance, result.picture
    score = "none" if result.score is None else f"{result.score:.3f}"
    threshold = "none" if result.score_threshold is None else f"{result.score_threshold:.3f}"
    return [
        ("Picture", f"{picture.name}, {picture.width} x {picture.height} px"),
        ("SHA-256 of the file", picture.sha256),
        ("Score", f"{score}, operating point {result.operating_point or 'none'} at {threshold}"),
        ("Mask", f"pixels above {result.mask_threshold:.2f}: {result.mask.mean():.2%} of all"),
        ("Model", f"{made.bundle}, {made.precision}"),
        ("SHA-256 of the model", made.bundle_sha256),
        ("Software", f"ftsdk {made.ftsdk}, {made.runtime}"),
        ("Device", made.device),
        ("Figures", f"JPEG of at most {MAX_SIDE} px a side; the hash is the original file's"),
    ]


def _timings(result: Answer) -> Html:
    steps = ((step, f"{spent:.1f} ms") for step, spent in result.timings.items())
    return join(element("h3", "Time by step"), _facts(steps))


def _facts(rows: Rows) -> Html:
    return element(
        "dl",
        *(element("div", element("dt", label), element("dd", value)) for label, value in rows),
    )


def _sign_off(analyst: str | None) -> Html:
    fields = (("Name", analyst or ""), ("Date", ""), ("Signature", ""))
    return element(
        "footer",
        *(
            element("div", element("span", value), element("small", label))
            for label, value in fields
        ),
    )
