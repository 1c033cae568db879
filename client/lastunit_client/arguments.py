"""What commands ask of their arguments before they encode them. Callers may give anything: hence Any."""

from typing import Any, Final

from lastunit_client.errors import InvalidRequestError

_INT64: Final = range(-(1 << 63), 1 << 63)


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


def integer(field: str, value: Any) -> int:
    """The value, if it is an integer of 64 bits."""
    if not isinstance(value, int) or value not in _INT64:
        raise InvalidRequestError(field, f"expected a 64-bit integer, got {value!r}")
    return value
