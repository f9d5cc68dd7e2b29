"""What mkdocs calls while it builds the site: pages that are made, links that are moved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site import links, reference

#: Written on a branch of its own; its place in the navigation waits for it.
AWAITED = "architecture.md"
#: Pages that are alone in their part of the navigation: its column would name only them.
ALONE = ("index.md",)
MADE = {
    "reference/index.md": reference.index_page,
    "reference/commands.md": reference.commands_page,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The rooms into the navigation."""
    there = (links.ROOT / "docs" / AWAITED).exists()
    config.nav = _expanded(config.nav or [], there)
    return config


def _expanded(nav: list[Any], awaited: bool) -> list[Any]:
    found: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            ((title, below),) = item.items()
            item = {title: _expanded(below, awaited) if isinstance(below, list) else below}
        if item == "reference/api.md":
            found += [{room: f"reference/{room}.md"} for room in reference.rooms()]
        elif item != AWAITED or awaited:
            found.append(item)
    return found


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Pages from outside docs/, the reference, and every file that a page links."""

    def add(page: str, text: str) -> None:
        files.append(File.generated(config, page, content=text))

    linked: set[str] = set()
    for file in list(files.documentation_pages()):
        linked |= set(links.targets(file.content_string, f"docs/{file.src_uri}"))
    for place, page in links.MOUNTED.items():
        text = (links.ROOT / place).read_text(encoding="utf-8")
        linked |= set(links.targets(text, place))
        add(page, text)
    for path in sorted(linked):
        page = links.page_of(path)
        if page.startswith("source/"):
            add(page, links.shown(path))
    for page, make in MADE.items():
        add(page, make())
    for room in reference.rooms():
        add(f"reference/{room}.md", reference.room_page(room))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are on the site."""
    site = page.file.src_uri
    if site in ALONE:
        page.meta["hide"] = ["navigation"]
    if site.startswith(("reference/", "source/")):
        return markdown
    places = {mounted: place for place, mounted in links.MOUNTED.items()}
    return links.for_site(markdown, places.get(site, f"docs/{site}"), site)
