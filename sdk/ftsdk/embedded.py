"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "86b06d90010f3c0f9a3618ca2bcf3b98b9fe145b380a0f02178dd5f198422d45"
