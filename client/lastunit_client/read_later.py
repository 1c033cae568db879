"""Values of which some fields are read from their message only when one of them is asked for.

To read all of an answer costs half as much as the rest of a command, and many callers look at its outcome alone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any


class ReadLater:
    """Base of a frozen dataclass with slots. `_fill`, where there is one, sets the fields that are not set."""

    __slots__ = ("_fill",)

    _fill: Callable[[Any], None] | None

    if not TYPE_CHECKING:  # a misspelt name must stay an error there

        def __getattr__(self, name: str) -> object:
            """Called for what is not set. Threads may do so at once: they set equal values."""
            try:
                fill = object.__getattribute__(self, "_fill")
            except AttributeError:
                fill = None
            if fill is not None:
                fill(self)
                object.__setattr__(self, "_fill", None)  # and so drops the message
            return object.__getattribute__(self, name)
