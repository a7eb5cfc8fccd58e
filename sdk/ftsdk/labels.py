"""The parts of a face that ForgeryTalker names; the order is that of `region_logits`."""

LABELS: tuple[str, ...] = (
    "eye", "pupil", "lip", "mouth", "nose", "ear", "cheek", "forehead", "chin", "jaw", "eyebrow",
    "tooth", "tongue", "beard", "mustache", "skin", "hair", "wrinkle", "freckle", "scar", "dimple",
)  # fmt: skip
