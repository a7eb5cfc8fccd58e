"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "afaef3deb9b6d3c35e193f2bec6c81f5158cb6bfda3338b83294d3dbab6436fa"
