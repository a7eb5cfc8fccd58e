"""PyInstaller runtime hook: a program that `ftsdk.imaging.isolation` starts again only decodes."""

import sys

# A program without this hook would start all over again.
sys.ftsdk_decodes = True  # type: ignore[attr-defined]
if sys.argv[1:2] == ["--ftsdk-decode"]:
    from ftsdk.imaging.decoder_process import main

    main(*map(int, sys.argv[2:4]))
    sys.exit()
