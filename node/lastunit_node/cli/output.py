"""What `lastunit` prints: tables for people, one JSON object for programs, complaints on stderr.

Nothing but the answer goes to stdout, and with --json nothing but the object.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lastunit_client import FencingToken

WIDE: Final = 200  # columns for a table that no terminal bounds


def stdout() -> Console:
    """The console for answers; a pipe gets lines that are not wrapped at 80 columns."""
    return Console() if Console().is_terminal else Console(width=WIDE)


def complain(message: str) -> None:
    """One line on stderr."""
    line = " ".join(message.split())
    Console(stderr=True, soft_wrap=True).print(Text.assemble(("lastunit: ", "red"), line))


def quote(text: str) -> None:
    """Lines of somebody else's on stderr, indented."""
    console = Console(stderr=True, soft_wrap=True)
    for line in text.splitlines():
        console.print(Text(f"  | {line}", "dim"))


def say(text: str) -> None:
    """One line on stdout."""
    Console(soft_wrap=True).print(Text(text))


@contextmanager
def progress(message: str) -> Iterator[Status]:
    """A line on stderr that moves while something takes time; a pipe does not see it."""
    with Console(stderr=True).status(message) as status:
        yield status


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
    print(json.dumps(as_json(value), indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a heading; numbers to the right, None as a dash."""
    body = list(rows)
    table = Table(header_style="bold")
    for position, column in enumerate(columns):
        numeric = any(isinstance(row[position], int) for row in body)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*map(cell, row))
    stdout().print(table)


def print_facts(title: str, facts: Iterable[tuple[str, object]], style: str = "bold") -> None:
    """A title and what there is to say about it, one line each; facts that are empty are left out."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value not in (None, "", ()):
            grid.add_row(f"  {name}", cell(value))
    console = stdout()
    console.print(Text(title, style))
    if grid.row_count:
        console.print(grid)


def cell(value: object) -> Text:
    """One value as text, taken literally: an id may look like markup or an emoji."""
    if isinstance(value, Enum) and not isinstance(value, StrEnum):
        return Text(value.name)
    return Text("-" if value is None else str(value))
