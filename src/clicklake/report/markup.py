"""HTML made of tags: text is escaped unless a tag made it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """HTML that goes into a page as it stands."""

    __slots__ = ()


Child = str | int | Iterable["Child"] | None

_VOID = {"br", "col", "link", "meta", "rect"}


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. `class_` is written `class`, `aria_label` is `aria-label`; None is left out.

    >>> tag("td", "a < b", class_="number")
    '<td class="number">a &lt; b</td>'
    """
    given = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>" if name != "rect" else f"<rect{given}/>")
    return Markup(f"<{name}{given}>{text(children)}</{name}>")


def text(child: Child) -> Markup:
    """A tag as it stands, text escaped, the members of anything else one after the other."""
    if child is None:
        return Markup("")
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return Markup(escape(str(child)))
    return Markup("".join(text(each) for each in child))
