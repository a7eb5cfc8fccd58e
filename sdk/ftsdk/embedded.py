"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "496043d2340c1bb5715685da5e6b1ce2dd4fab30da2ab11a498d5e2498a62e38"
