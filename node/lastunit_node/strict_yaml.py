"""YAML with one mapping at the top and no key given twice; every refusal is one line with the place in the file.

PyYAML alone takes the last of two equal keys in silence, which hides a node that was pasted and not renamed.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from lastunit_node.config_errors import ConfigError

LONGEST_SHOWN: Final = 40
MAX_BITS: Final = 64  # of a whole number; Python refuses to print one of some thousand digits


class UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, refusing a key that stands twice in one mapping, and what is not of the type that it looks."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build one value. PyYAML lets through whatever int(), date() and their like raise for it."""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise unreadable(node) from error
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise unreadable(node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build one mapping."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if node.id == "mapping" else ():  # a scalar may be tagged as one
            identity = (key.tag, str(key.value))
            if identity in seen:
                problem = f"the key {key.value!r} is given twice; remove one"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(identity)
        return super().construct_mapping(node, deep)


def unreadable(node: yaml.Node) -> yaml.constructor.ConstructorError:
    """The error for a value that its type, written or guessed, does not know."""
    kind = node.tag.rpartition(":")[2]
    problem = f"{str(node.value)[:LONGEST_SHOWN]!r} cannot be read as {kind}; correct it, or put it in quotes"
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file. ConfigError when there is no such file, or it holds something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    value = parse(text, path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: no keys at its top level; start with `cluster: NAME`")
    return value


def parse(text: str, path: Path) -> object:
    """The value a text stands for; ConfigError with line and column when it stands for none."""
    try:
        return yaml.load(text, UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path}: {place}{one_line(error.problem or error.context)}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {one_line(error)}") from None


def one_line(problem: object) -> str:
    """A message without line breaks."""
    return " ".join(str(problem).split())
