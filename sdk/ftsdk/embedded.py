"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "514ea7955531cc54f35bb1ca57bee6b55ea5601995bce1deda2e6ea49be8036f"
