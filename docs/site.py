"""What the docs site adds to the pages as they are: mkdocs calls it (``hooks`` in ``mkdocs.yml``). Nothing is fetched.

Pages link to files of the repository beside ``docs/``. Those that are Markdown become pages of the site; of the others, and of
folders, the site shows the name alone. Pages that the navigation does not name come last in it, so that none is lost.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Take in the Markdown files of the repository that some page links to, and name what the navigation leaves out."""
    wanted = {
        target
        for page in Path(config.docs_dir).glob("*.md")
        for _, _, link, _ in _LINK.findall(page.read_text(encoding="utf-8"))
        if (target := (Path(config.docs_dir) / link).resolve()).suffix == ".md" and target.is_file()
    }
    for target in sorted(wanted):
        text = target.read_text(encoding="utf-8")
        files.append(File.generated(config, _uri(target), content=_inside_out(text, target)))
    named = set(re.findall(r"[\w-]+\.md", str(config.nav)))
    left = sorted(page.name for page in Path(config.docs_dir).glob("*.md") if page.name not in named)
    config.nav.append({"More": [*left, *map(_uri, sorted(wanted))]})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001 - mkdocs names them
    """Links to the repository's files lead to their pages."""
    return (
        _LINK.sub(lambda match: _led(match, files), markdown) if not page.file.src_uri.startswith("repository/") else markdown
    )


def _uri(target: Path) -> str:
    return "repository/" + "-".join(target.relative_to(ROOT).with_suffix(".md").parts).lower()


def _led(match: re.Match[str], files: Files) -> str:
    """A link of a page in ``docs/``."""
    target = (ROOT / "docs" / match[3]).resolve()
    if target.is_relative_to(ROOT) and target.suffix == ".md" and files.get_file_from_path(_uri(target)):
        return f"{match[1]}[{match[2]}]({_uri(target)}{match[4] or ''})"
    return match[2]


def _inside_out(text: str, target: Path) -> str:
    """A page from outside ``docs/``: what it links to inside leads there, anything else is its name alone."""

    def led(match: re.Match[str]) -> str:
        if "://" in match[3] or match[3].startswith("#"):
            return match[0]
        path, _, anchor = match[3].partition("#")
        there = (target.parent / path).resolve()
        docs = ROOT / "docs"
        if there.is_relative_to(docs) and there.is_file():
            return f"{match[1]}[{match[2]}](../{there.relative_to(docs).as_posix()}{'#' + anchor if anchor else ''})"
        return match[2]

    return re.sub(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", led, text)
