"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "ff7bf88351e5f5c6653f93a263c543b90d6e0aedb0e6292b2026a9f1c829c2e3"
