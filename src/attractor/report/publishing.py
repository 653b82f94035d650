"""From a result to its page: `publish(result, folder)` finds the page by a table.

A page stands beside the study that it shows. Where the result is defined it registers the function that makes
its page, by name, so that drawing is imported only when something is drawn:

    PAGES.register(DynamicsStudy, PageKind("dynamics.html", "attractor.theory.dynamics_page:dynamics_page"))

Another package adds pages of its own results in the same way, by an entry point `attractor.pages`.
"""

import json
import re
from dataclasses import replace
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from attractor.errors import ConfigError
from attractor.files import write_atomically
from attractor.origin import Origin, find_origin, stamped
from attractor.registry import Registry
from attractor.runs import REPORT, check_origin, data_source

from .about import About

_LINKS = re.compile(r'<nav class="pages".*?</nav>', re.DOTALL)
_KIND = re.compile(r'<meta name="attractor-page" content="([^"<>]+)">')


class PageKind(NamedTuple):
    """How results of one type are shown.

    Args:
        file: name of the page.
        build: "module:function" of `function(result, about, **beside) -> Page`.
        json: name of a file for `result.to_dict()`; None for results that are stored otherwise.
    """

    file: str
    build: str
    json: str | None = None


PAGES = Registry[type, PageKind]("page", "attractor.pages")
"""By the type of the result."""


def publish(result: Any, folder: Path, about: About | None = None, **beside: Any) -> Path:
    """Write the page of a result into a folder, with its numbers as JSON where it has such a file.

    All pages of the folder that speak of the same weights link one another.

    Args:
        result: of a study; its type, or a base of it, is registered in `PAGES`.
        folder: of the run, or any other.
        about: what the page speaks of; the name of the folder if not given.
        beside: what the page of this kind takes in addition to the result.

    Returns:
        The path of the page.

    Raises:
        ConfigError: results of this type have no page.
        RunFolderError: the folder holds another run than the one that the result is about.
        StorageError: a file cannot be written.
    """
    from .page import render, write_document

    kind, about = kind_of_page(type(result)), about or About()
    check_origin(folder, about.origin)
    data = about.data or data_source(folder)
    about = replace(about, folder=folder, title=about.title or folder.name, data=data)
    module, _, name = kind.build.partition(":")
    page = getattr(import_module(module), name)(result, about, **beside)
    path = write_document(render(page, about), folder / kind.file)
    if kind.json is not None:
        known = {"origin": stamped(about.origin, "{}"), "source": about.data, "command": about.command}
        facts = json.dumps({**known, **result.to_dict(), **page.facts}, indent=1)
        write_atomically(folder / kind.json, f"{facts}\n".encode())
    link_pages(folder, about.origin)
    return path


def kind_of_page(result: type) -> PageKind:
    """How results of a type are shown.

    Raises:
        ConfigError: neither it nor a base of it is registered.
    """
    for one in result.__mro__:
        if one in PAGES:
            return PAGES[one]
    known = ", ".join(one.__name__ for one in PAGES)
    raise ConfigError(f"results of type {result.__name__} have no page; there are pages of {known}")


def link_pages(folder: Path, origin: Origin | None) -> None:
    """Let all pages of a folder that speak of the same weights name one another, the report first.

    Raises:
        StorageError: a page cannot be written.
    """
    pages: dict[Path, tuple[str, str]] = {}
    for path in sorted(folder.glob("*.html"), key=lambda path: (path.name != REPORT, path.name)):
        content = b"" if path.is_symlink() else path.read_bytes()
        kind = _KIND.search(content.decode(errors="replace"))
        if kind and find_origin(content) == origin:
            pages[path] = kind[1], content.decode(errors="replace")
    for own, (_, text) in pages.items():
        links = [
            f"<b>{kind}</b>" if path == own else f'<a href="{escape(path.name)}">{kind}</a>'
            for path, (kind, _) in pages.items()
        ]
        shown = " ".join(links) if len(links) > 1 else ""
        linked = _LINKS.sub(lambda _: f'<nav class="pages" aria-label="Pages">{shown}</nav>', text, count=1)  # noqa: B023
        if linked != text:
            write_atomically(own, linked.encode())
