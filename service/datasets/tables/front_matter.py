"""The front matter of a README, in the part of YAML that data set cards are written in: mappings,
lists, scalars over several lines and in quotes, flow lists; no anchors, no tags, no types.
"""

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

MOST_BYTES = 4 * 2**20  # of a README that is looked into

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#"'\[{&*!|>-][^#]*?|-[^\s#][^#]*?)\s*:(?:\s+|$)"""
)
_BLOCK = re.compile(r"[|>][-+0-9]*(\s+#.*)?$")


class UnreadableFrontMatter(ValueError):
    """A line that is not of the part of YAML that is read here."""


@dataclass
class _Line:
    number: int
    indent: int
    text: str


def front_matter(readme: str, sections: tuple[str, ...]) -> dict[str, object]:
    """Read sections of the front matter of a README; what else is in it is not looked at.

    Args:
        readme: text that begins with the front matter between two lines `---`, if it has one.
        sections: keys of the outermost mapping.

    Returns:
        Of each section that is there its value: mappings, lists, and texts, which are given no
        types: `1`, `'1'` and `no` are texts; None where nothing stands.

    Raises:
        UnreadableFrontMatter: a section is written otherwise; the message names the line.
    """
    lines = readme.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    end = next((i for i in range(1, len(lines)) if lines[i].rstrip() in ("---", "...")), None)
    if end is None:
        return {}
    found: dict[str, object] = {}
    starts = [i for i in range(1, end) if re.match(r"[^\s#\-]", lines[i])]
    for start, stop in zip(starts, [*starts[1:], end], strict=False):
        if lines[start].partition(":")[0].strip("\"' ") in sections:
            try:
                value = _Reader(lines[start:stop], start + 1).whole()
            except RecursionError as error:
                raise UnreadableFrontMatter(f"line {start + 1}: nested too deeply") from error
            if isinstance(value, dict):
                found |= value
    return found


class _Reader:
    """Reads one block; `_at` is the line that comes next."""

    def __init__(self, lines: list[str], first: int) -> None:
        self._lines = [
            _Line(first + i, len(line) - len(line.lstrip(" ")), line.strip())
            for i, line in enumerate(lines)
        ]
        self._at = 0

    def whole(self) -> Value:
        value = self._node(0)
        if (line := self._peek()) is not None:
            raise UnreadableFrontMatter(f"line {line.number}: {line.text[:60]!r} fits nowhere")
        return value

    def _peek(self) -> _Line | None:
        """The next line that says something."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.text and not line.text.startswith("#"):
                return line
            self._at += 1
        return None

    def _node(self, least: int) -> Value:
        """What stands at an indentation of `least` or more; None if nothing does."""
        line = self._peek()
        if line is None or line.indent < least:
            return None
        if _is_item(line.text):
            return self._list(line.indent)
        if _KEY.match(line.text):
            return self._mapping(line.indent)
        self._at += 1
        return self._scalar(line.text, line, least - 1)

    def _list(self, indent: int) -> list[Value]:
        items: list[Value] = []
        while (line := self._peek()) is not None and line.indent == indent and _is_item(line.text):
            rest = line.text[1:].lstrip()
            if not rest or rest.startswith("#"):
                self._at += 1
                items.append(self._node(indent + 1))
            else:  # what follows the dash stands deeper by so much
                line.indent += len(line.text) - len(rest)
                line.text = rest
                items.append(self._node(indent + 1))
        return items

    def _mapping(self, indent: int) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        while (line := self._peek()) is not None and line.indent == indent:
            key = _KEY.match(line.text)
            if key is None:
                break
            self._at += 1
            rest = line.text[key.end() :]
            if rest and not rest.startswith("#"):
                entries[_unquoted(key[1], line)] = self._scalar(rest, line, indent)
                continue
            after = self._peek()  # a list may stand as far left as its key
            same = after is not None and after.indent == indent and _is_item(after.text)
            entries[_unquoted(key[1], line)] = self._node(indent if same else indent + 1)
        return entries

    def _scalar(self, text: str, line: _Line, indent: int) -> Value:
        """A text that begins at `line`, which has been passed, and goes on in the lines that stand
        deeper than `indent`.
        """
        if _BLOCK.match(text):
            return "\n".join(self._deeper(indent))
        if text[0] in "\"'":
            while not _closed(text) and (more := self._next_deeper(indent)) is not None:
                text += f" {more}"
            return _unquoted(_closed(text) or text, line)
        if text[0] in "[{":
            while text.count(text[0]) > text.count("]" if text[0] == "[" else "}"):
                more = self._next_deeper(-1)
                if more is None:
                    break
                text += f" {more}"
            return _flow(text, line)
        if text[0] in "&*!%@`":
            raise UnreadableFrontMatter(f"line {line.number}: {text[:60]!r} is not read here")
        words = [text, *self._deeper(indent)]
        return " ".join(re.split(r"(?:^|\s)#", word)[0].strip() for word in words).strip()

    def _deeper(self, indent: int) -> list[str]:
        lines = []
        while (more := self._next_deeper(indent)) is not None:
            lines.append(more)
        return lines

    def _next_deeper(self, indent: int) -> str | None:
        if self._at >= len(self._lines):
            return None
        line = self._lines[self._at]
        if line.text and line.indent <= indent:
            return None
        self._at += 1
        return line.text


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _closed(text: str) -> str:
    """The quoted text at the front; empty if its end is missing."""
    pattern = r'"(?:[^"\\]|\\.)*"' if text[0] == '"' else r"'(?:[^']|'')*'(?!')"
    found = re.match(pattern, text)
    return found[0] if found else ""


def _unquoted(text: str, line: _Line) -> str:
    if text[:1] == "'":
        return text[1:-1].replace("''", "'")
    if text[:1] != '"':
        return text
    try:  # the escapes of JSON, and \xNN
        return str(json.loads(re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text.replace("\\ ", " "))))
    except ValueError as error:
        raise UnreadableFrontMatter(f"line {line.number}: {text[:60]!r}: {error}") from error


_FLOW = re.compile(
    r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[\[\]{},]|:(?=\s|$)|[^\s,\[\]{}:"'](?:[^,\[\]{}:]|:(?=\S))*)"""
)


def _flow(text: str, line: _Line) -> Value:
    """A list or mapping in brackets."""
    words = [word.strip() for word in _FLOW.findall(text)]
    value, rest = _flow_value(words, line)
    if rest and not rest[0].startswith("#"):
        raise UnreadableFrontMatter(f"line {line.number}: {text[:60]!r} does not end in a bracket")
    return value


def _flow_value(words: list[str], line: _Line) -> tuple[Value, list[str]]:
    if not words:
        raise UnreadableFrontMatter(f"line {line.number}: a bracket is not closed")
    if words[0] == "[":
        items: list[Value] = []
        words = words[1:]
        while words and words[0] != "]":
            value, words = _flow_value(words, line)
            items.append(value)
            words = words[1:] if words and words[0] == "," else words
        return items, _after(words, line)
    if words[0] == "{":
        entries: dict[str, Value] = {}
        words = words[1:]
        while words and words[0] != "}":
            if len(words) < 3 or words[1] != ":":
                raise UnreadableFrontMatter(f"line {line.number}: {words[0][:60]!r} has no value")
            entries[_unquoted(words[0], line)], words = _flow_value(words[2:], line)
            words = words[1:] if words and words[0] == "," else words
        return entries, _after(words, line)
    return _unquoted(words[0], line), words[1:]


def _after(words: list[str], line: _Line) -> list[str]:
    if not words:
        raise UnreadableFrontMatter(f"line {line.number}: a bracket is not closed")
    return words[1:]
