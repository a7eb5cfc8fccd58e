"""Which bundle is the one in the package; `python -m ft_export.bundle.embed` writes this file."""

#: SHA-256 of its manifest.json, which covers every file of it.
NANO_SHA256 = "1d09e3ab914420209015b903981136024af2531224890bd0404ead17382b1cbb"
