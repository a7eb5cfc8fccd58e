"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "2a77a32b2439a66e1d0e763d019f6cb890249669348464ee6f1dda3788e84812"
