"""Content Credentials (C2PA): what the file itself says of its origin, and who signed that.

They are shown as what they are: claims and their signatures. A file without them says nothing
about manipulation, and a valid signature says who signed, not that the picture is true.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ftsdk.imaging.header import format_of

State = Literal["not read", "none", "present", "unreadable"]

# No signature check may go out to the network; unreachable lists only lower the state to "valid".
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_PLAIN = {
    "signingCredential.untrusted": "the signer is on no trust list that ftsdk holds",
    "assertion.dataHash.mismatch": "the picture was changed after it was signed",
    "claimSignature.mismatch": "the signature is not over these claims",
}
_MIME = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "HEIC": "image/heic",
    "AVIF": "image/avif",
    "JPEG XL": "image/jxl",
}


@dataclass(frozen=True)
class Credentials:
    """What was found.

    Attributes:
        state: `not read` (nobody looked), `none`, `present` or `unreadable`.
        note: one sentence on what that means.
        facts: label and value of each claim, in reading order; empty unless `present`.
    """

    state: State
    note: str
    facts: tuple[tuple[str, str], ...] = ()


NOT_HANDED_IN = Credentials("not read", "The original file was not at hand when this was written.")


def read_credentials(data: bytes) -> Credentials:
    """Read the Content Credentials of a picture file, offline."""
    try:
        from c2pa import Context, Reader, Settings
    except ImportError:
        return Credentials("not read", "c2pa-python is not installed (extra c2pa).")
    try:
        mime = _MIME.get(format_of(data))
        if mime is None:
            return Credentials("none", "Files of this format carry no Content Credentials.")
        context = Context(settings=Settings.from_dict(_OFFLINE))
        reader = Reader.try_create(mime, io.BytesIO(data), context=context)
        if reader is None:
            return Credentials(
                "none",
                "The file carries no Content Credentials. Most pictures carry none; that says "
                "nothing about manipulation.",
            )
        with reader:
            return _present(json.loads(reader.json()))
    except Exception as error:  # whatever a hostile manifest makes of the library
        return unreadable(str(error)[:200] or type(error).__name__)


def unreadable(found: str) -> Credentials:
    """Return what is known of Content Credentials whose reading failed."""
    return Credentials("unreadable", f"Reading them failed: {found}")


def _present(store: dict[str, Any]) -> Credentials:
    manifests = store.get("manifests") or {}
    active = manifests.get(store.get("active_manifest")) or {}
    state = str(store.get("validation_state") or "unknown")
    return Credentials(
        "present",
        "These are claims that the file carries, and their signatures; ftsdk repeats them and "
        "vouches for none.",
        tuple(_facts(active, state, store, len(manifests))),
    )


def _facts(
    active: dict[str, Any], state: str, store: dict[str, Any], manifests: int
) -> Iterable[tuple[str, str]]:
    signature = active.get("signature_info") or {}
    values = {
        "Signature check": state,
        "Problems found": ", ".join(_problems(store)),
        "Signed by": signature.get("common_name") or signature.get("issuer"),
        "Issued to": signature.get("issuer"),
        "Signed at": signature.get("time"),
        "Made with": ", ".join(_generators(active)),
        "Title": active.get("title"),
        "Actions claimed": ", ".join(_actions(active)),
        "Ingredients": str(len(active.get("ingredients") or ())),
        "Manifests in the file": str(manifests),
    }
    return ((label, str(value)[:400]) for label, value in values.items() if value)


def _problems(store: dict[str, Any]) -> list[str]:
    codes = [str(status.get("code")) for status in store.get("validation_status") or ()]
    return [f"{_PLAIN[code]} ({code})" if code in _PLAIN else code for code in codes]


def _generators(active: dict[str, Any]) -> list[str]:
    infos = active.get("claim_generator_info") or ()
    names = [f"{info.get('name', '')} {info.get('version', '')}".strip() for info in infos]
    return names or [str(active.get("claim_generator") or "")]


def _actions(active: dict[str, Any]) -> list[str]:
    return [
        _action(action)
        for assertion in active.get("assertions") or ()
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in (assertion.get("data") or {}).get("actions") or ()
    ]


def _action(action: dict[str, Any]) -> str:
    name = str(action.get("action", "")).removeprefix("c2pa.")
    source = str(action.get("digitalSourceType") or "").rsplit("/", 1)[-1]
    return f"{name} ({source})" if source else name
