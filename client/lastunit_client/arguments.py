"""What calls ask of their arguments before they encode them. Callers may give anything: hence Any."""

from collections.abc import Iterable
from operator import index
from typing import Any, Final

from lastunit_client.errors import InvalidRequestError

INT64: Final = range(-(1 << 63), 1 << 63)


def text(field: str, value: Any) -> str:
    """The value, if it is text that can be encoded."""
    utf8(field, value)
    checked: str = value
    return checked


def utf8(field: str, value: Any) -> bytes:
    """The encoded value, if it is text that can be."""
    try:
        encoded: bytes = value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidRequestError(field, f"expected text, got {value!r}") from None
    return encoded


def integer(field: str, value: Any, allowed: range = INT64) -> int:
    """The value, if it is one of the integers that can be encoded."""
    try:
        number = index(value)  # as of numpy, too
        if number in allowed:
            return number
    except TypeError:
        pass
    raise InvalidRequestError(
        field, f"expected an integer from {allowed.start} to {allowed.stop - 1}, got {shown(value)}"
    )


def shown(value: Any) -> str:
    """What was given, for the message. Python writes no integer of more than 4,300 digits."""
    try:
        return repr(value)
    except ValueError:
        return "more digits than can be shown"


def elements(field: str, value: Any) -> Iterable[Any]:
    """The value, if there is anything in it to be encoded."""
    if not isinstance(value, Iterable):
        raise InvalidRequestError(field, f"expected a list, got {value!r}")
    return value
