"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "dc55c95b8509d9e2983e39bc9f8416aa3e2e759a012226de752583923c1d70b5"
