"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "1b7becb2d92c77577219c8c9020f47ffc37c6c0b08680fd477a9b239bd2ef8dd"
