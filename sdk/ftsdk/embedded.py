"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "e924ddbe60ad480e57ee2f31f2779165fc38b47395f1fcbde8092bfabcb87fb3"
