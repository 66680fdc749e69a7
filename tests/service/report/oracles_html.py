"""Reads a page as a browser does, into a tree that tests can ask."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "hr", "input"}  # HTML elements that have no end


@dataclass
class Node:
    """An element: its attributes, its children, and the text that stands before each of them."""

    tag: str
    attributes: dict[str, str]
    parts: "list[Node | str]" = field(default_factory=list)

    def all(self, tag: str = "", **attributes: str) -> Iterator["Node"]:
        """The elements below, in order, of a tag and with attributes: `class_` is one of the
        classes, `data_kind` is data-kind.
        """
        for part in self.parts:
            if isinstance(part, Node):
                if tag in ("", part.tag) and all(
                    part._has(name, value) for name, value in attributes.items()
                ):
                    yield part
                yield from part.all(tag, **attributes)

    def _has(self, name: str, value: str) -> bool:
        return (
            value in self.classes
            if name == "class_"
            else self.attributes.get(name.replace("_", "-")) == value
        )

    def one(self, tag: str = "", **attributes: str) -> "Node":
        """The only such element."""
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def classes(self) -> list[str]:
        """The classes of the element."""
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """What one reads, white space made single."""
        return " ".join(self._text().split())

    def _text(self) -> str:
        return "".join(part if isinstance(part, str) else part._text() for part in self.parts)

    def rows(self) -> list[list[str]]:
        """The cells of a table, row by row."""
        return [
            [cell.text for cell in row.parts if isinstance(cell, Node)] for row in self.all("tr")
        ]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag}: an attribute twice"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(node)
        self.open.append(node)
        if tag in VOID:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in VOID, f"<{tag}/> is XML's way, not HTML's"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read(page: str) -> Node:
    """The page's tree; fails where elements are not properly nested."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert len(builder.open) == 1, "an element is not closed"
    return builder.open[0]
