"""The page links the words that the SDK checks, and no others."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import ftsdk
from ftsdk.claims import named_regions
from ftsdk.regions import REGIONS

STATIC = Path(ftsdk.__file__).parent / "serve" / "static"
SCRIPT = """
const { findTerms } = await import(process.argv[1]);
const { texts, words } = JSON.parse(process.argv[2]);
console.log(JSON.stringify(texts.map((text) => findTerms(text, words))));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_page_links_what_the_claims_read(tmp_path: Path) -> None:
    module = shutil.copy(STATIC / "words.js", tmp_path / "words.mjs")
    words = {region.name: region.words for region in REGIONS}
    texts = [
        *(f"The {word} looks pasted." for region in REGIONS for word in region.words),
        "TEETH and nostrils; the search in the year of a hare.",
        "Her eyebrows' colour, mouth-corners",
        "",
    ]
    given = json.dumps({"texts": texts, "words": words})
    command = ["node", "--input-type=module", "-e", SCRIPT, Path(module).as_uri(), given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for text, terms in zip(texts, json.loads(done.stdout), strict=True):
        assert {region for _, _, region in terms} == named_regions(text)
        assert all(text[start:end].lower() in words[region] for start, end, region in terms)
