"""What `lastunit` prints: tables for people, one JSON object for programs, complaints on stderr.

Nothing but the answer goes to stdout, and with --json nothing but the object. An answer that stdout does not take is an
UnwrittenError; what stderr does not take, complaints and progress, is lost.
"""

import contextlib
import io
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum, StrEnum
from itertools import islice
from typing import Any, Final, TextIO, TypeVar, cast

from rich import box
from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lastunit_client import FencingToken
from lastunit_node.cli.errors import UnwrittenError

ItemT = TypeVar("ItemT")

WIDE: Final = 200  # columns for a table that no terminal bounds
PIECE: Final = 1_000  # rows printed at once: a long list begins at once, and takes no more memory than a short one


def stdout() -> Console:
    """The console for answers; a pipe gets lines that are not wrapped at 80 columns."""
    return Console() if Console().is_terminal else Console(width=WIDE)


def show(*parts: RenderableType) -> None:
    """Onto stdout."""
    with _answering():
        _put(sys.stdout, _rendered(stdout(), parts))


def write(text: str) -> None:
    """Onto stdout."""
    with _answering():
        _put(sys.stdout, text)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as problem:
        raise UnwrittenError(problem) from None


@contextmanager
def library_answers() -> Iterator[None]:
    """While a library writes onto stdout, and nothing else is done."""
    with _answering():
        try:
            yield
        except OSError:
            _forget(sys.stdout)
            raise


def _rendered(console: Console, parts: Iterable[RenderableType]) -> str:
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def _put(stream: TextIO | None, text: str) -> None:
    """All of it, now."""
    if stream is None:  # closed by who started this program
        raise OSError("it is closed")
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        _forget(stream)
        raise


def _forget(stream: TextIO) -> None:
    """What a stream did not take goes nowhere, so that it cannot fail again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def complain(message: str) -> None:
    """One line on stderr."""
    line = " ".join(message.split())
    _complain(Text.assemble(("lastunit: ", "red"), line))


def quote(text: str) -> None:
    """Lines of somebody else's on stderr, indented."""
    _complain(*(Text(f"  | {line}", "dim") for line in text.splitlines()))


def _complain(*lines: Text) -> None:
    console = Console(file=_forgiving_stderr(), soft_wrap=True)
    for line in lines:
        console.print(line)


def say(text: str) -> None:
    """One line on stdout."""
    write(f"{text}\n")


@contextmanager
def progress(message: str) -> Iterator[Status]:
    """A line on stderr that moves while something takes time; a pipe does not see it."""
    with Console(file=_forgiving_stderr()).status(message) as status:
        yield status


def _forgiving_stderr() -> TextIO:
    return cast("TextIO", _Forgiving(sys.stderr))


class _Forgiving:
    """A stream for what may be lost: whether it takes that is no reason to fail. None: a stream that was closed."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or io.StringIO()

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with contextlib.suppress(OSError, UnicodeError):
            _put(self._stream, text)
        return len(text)

    def flush(self) -> None:
        """All is written already."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def as_json(value: object) -> Any:
    """Plain data: dataclasses by field, enums by name, tokens as they are printed, bytes in hex."""
    match value:
        case FencingToken():
            return str(value)
        case StrEnum():
            return value.value
        case Enum():
            return value.name
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def print_json(value: object) -> None:
    """One JSON object on stdout."""
    write(json.dumps(as_json(value), indent=2) + "\n")


def print_json_list(name: str, items: Iterable[object]) -> None:
    """One JSON object with one list on stdout, piece by piece. One that is cut off by an error is no JSON."""
    text, separator = f'{{\n  "{name}": [', "\n"
    for piece in _pieces(items):
        for item in piece:
            text += separator + textwrap.indent(json.dumps(as_json(item), indent=2), "    ")
            separator = ",\n"
        write(text)
        text = ""
    write("\n  ]\n}\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a heading; numbers to the right, None as a dash. The heading comes again with each further piece."""
    for piece in _pieces(rows):
        _print_piece(columns, piece)


def _pieces(items: Iterable[ItemT]) -> Iterator[list[ItemT]]:
    """The first one may be empty."""
    rest = iter(items)
    yield list(islice(rest, PIECE))
    while piece := list(islice(rest, PIECE)):
        yield piece


def _print_piece(columns: Sequence[str], body: Sequence[Sequence[object]]) -> None:
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for position, column in enumerate(columns):
        numeric = any(isinstance(row[position], int) for row in body)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*map(cell, row))
    show(table)


def print_facts(title: str, facts: Iterable[tuple[str, object]], style: str = "bold") -> None:
    """A title and what there is to say about it, one line each; facts that are empty are left out."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value not in (None, "", ()):
            grid.add_row(f"  {name}", cell(value))
    show(Text(title, style), *([grid] if grid.row_count else []))


def cell(value: object) -> Text:
    """One value as text, taken literally: an id may look like markup or an emoji."""
    if isinstance(value, Enum) and not isinstance(value, StrEnum):
        return Text(value.name)
    return Text("-" if value is None else str(value))
