"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "5038676c90db08871b2c8cea17333476e9526bc4eb189261e0a4b05ab5e367b9"
