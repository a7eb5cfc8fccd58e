"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "509138c3eaa666b1bfdfcc8f5de21e6583d17012d80a36d229511e66846fa105"
