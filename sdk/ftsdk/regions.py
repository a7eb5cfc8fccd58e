"""The regions of a face that models name: each one's label, words, place and sides, once.

The label order is that of ForgeryTalker's `region_logits`. A bundle may have other labels; one that
is not here is spoken of by its name, and looked for in the whole face.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FaceRegion:
    """What is known of a region, whatever the picture.

    Attributes:
        name: its label.
        words: the words that speak of it, in lower case; no word speaks of two regions, so that
            "eyes" say nothing of pupils, nor a mouth of lips.
        phrase: how a sentence calls it; one of `words`.
        outlines: where it usually lies, as names of outlines in `imaging.layout`, one a side.
        located: whether the landmarks of a face tell where it is, so that forgeries are made there.
    """

    name: str
    words: tuple[str, ...]
    phrase: str
    outlines: tuple[str, ...]
    located: bool = False


REGIONS: tuple[FaceRegion, ...] = (
    FaceRegion(
        "eye",
        ("eye", "eyes", "eyelid", "eyelids", "eyelash", "eyelashes", "eyeball", "eyeballs"),
        "eyes",
        ("left_eye", "right_eye"),
        located=True,
    ),
    FaceRegion(
        "pupil",
        ("pupil", "pupils", "iris", "irises"),
        "pupils",
        ("left_pupil", "right_pupil"),
        located=True,
    ),
    FaceRegion("lip", ("lip", "lips"), "lips", ("lip",), located=True),
    FaceRegion("mouth", ("mouth", "mouths"), "mouth", ("lip",), located=True),
    FaceRegion(
        "nose", ("nose", "noses", "nostril", "nostrils", "nasal"), "nose", ("nose",), located=True
    ),
    FaceRegion("ear", ("ear", "ears", "earlobe", "earlobes"), "ears", ("left_ear", "right_ear")),
    FaceRegion(
        "cheek",
        ("cheek", "cheeks", "cheekbone", "cheekbones"),
        "cheek",
        ("left_cheek", "right_cheek"),
        located=True,
    ),
    FaceRegion("forehead", ("forehead", "foreheads"), "forehead", ("forehead",), located=True),
    FaceRegion("chin", ("chin", "chins"), "chin", ("chin",), located=True),
    FaceRegion(
        "jaw",
        ("jaw", "jaws", "jawline", "jawlines"),
        "jaw",
        ("left_jaw", "right_jaw"),
        located=True,
    ),
    FaceRegion(
        "eyebrow",
        ("eyebrow", "eyebrows", "brow", "brows"),
        "eyebrows",
        ("left_eyebrow", "right_eyebrow"),
        located=True,
    ),
    FaceRegion("tooth", ("tooth", "teeth"), "teeth", ("lip",)),
    FaceRegion("tongue", ("tongue", "tongues"), "tongue", ("lip",)),
    FaceRegion(
        "beard",
        ("beard", "beards", "goatee", "stubble"),
        "beard",
        ("chin", "left_jaw", "right_jaw"),
    ),
    FaceRegion(
        "mustache", ("mustache", "mustaches", "moustache", "moustaches"), "mustache", ("mustache",)
    ),
    FaceRegion("skin", ("skin", "complexion"), "skin", ("face_oval",), located=True),
    FaceRegion("hair", ("hair", "hairs", "hairline"), "hair", ("hair",)),
    FaceRegion("wrinkle", ("wrinkle", "wrinkles"), "wrinkles", ("face_oval",)),
    FaceRegion("freckle", ("freckle", "freckles"), "freckles", ("face_oval",)),
    FaceRegion("scar", ("scar", "scars"), "scar", ("face_oval",)),
    FaceRegion("dimple", ("dimple", "dimples"), "dimples", ("left_cheek", "right_cheek")),
)
LABELS: tuple[str, ...] = tuple(region.name for region in REGIONS)
#: The labels that landmarks locate, in label order.
LOCATED_LABELS: tuple[str, ...] = tuple(region.name for region in REGIONS if region.located)
_KNOWN = {region.name: region for region in REGIONS}


def face_region(name: str) -> FaceRegion:
    """Return what is known of the region called `name`, a label of any bundle.

    Examples:
        >>> face_region("tooth").phrase
        'teeth'
    """
    return _KNOWN.get(name) or FaceRegion(name, (name.lower(),), name, ("face_oval",))
