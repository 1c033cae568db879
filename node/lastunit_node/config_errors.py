"""Refusals of a cluster file, in one line each: the key, what is wrong, what to write instead."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


class ConfigError(Exception):
    """The cluster file cannot be used. The message is one line that names the key and the fix."""


NAME_RULE: Final = "write 1 to 32 characters of a-z, 0-9 and -, no - first"
TYPE_RULES: Final[Mapping[str, str]] = {
    "int_type": "write a whole number",
    "string_type": NAME_RULE,
    "string_pattern_mismatch": NAME_RULE,
    "dict_type": "write a mapping of keys to values",
    "model_type": "write a mapping of keys to values",
}


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem pydantic found, in our words. Unknown keys go first: a misspelt key is missing as well."""
    details = min(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
    # pydantic marks a bad *key* of a mapping by a last part of its own.
    parts = [str(part) for part in details["loc"] if part != "[key]"]
    return f"{'.'.join(parts)}: {problem(details, parts, model)}"


def problem(details: ErrorDetails, parts: list[str], model: type[BaseModel]) -> str:
    """What is wrong with one key, and the fix."""
    value, context = details["input"], details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key; the keys here are {', '.join(keys_at(parts[:-1], model))}"
        case "missing":
            return "is missing; add it (cluster.yml explains every key)"
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"{value} is too small; write at least {context['ge']}"
        case "less_than_equal":
            return f"{value} is too large; write at most {context['le']}"
        case kind if kind in TYPE_RULES:
            return f"{value!r} is not valid; {TYPE_RULES[kind]}"
        case _:
            return f"{value!r} is not valid; {details['msg']}"


def keys_at(parts: list[str], model: type[BaseModel]) -> list[str]:
    """The known keys of the mapping that a path leads to: of the file, or of one node."""
    if not parts:
        return list(model.model_fields)
    inner: Any = model.model_fields[parts[0]].annotation
    return list(get_args(inner)[1].model_fields)
