"""A hook of MkDocs: a link to a file of the repository outside docs/ becomes its text.

On the repository's pages such a link leads to the file; the site does not hold it.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)[^)]*\)")
log = logging.getLogger("mkdocs.hooks")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Return the page without links to outside; one to nothing is a warning."""
    here = Path(config.docs_dir, page.file.src_uri).parent

    def text(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(config.docs_dir):
            return link[0]
        if not target.exists():
            log.warning("%s links to %s, which is not there", page.file.src_path, link[2])
        return link[1]

    return LINK.sub(text, markdown)
