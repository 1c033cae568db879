"""Values of which some fields are read from their message only when one of them is asked for.

To read all of an answer costs as much as the rest of a command, and most callers look at its outcome alone.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING


class ReadLater:
    """Base of a frozen dataclass with slots. `_rest`, where it is set, gives the fields that are not."""

    __slots__ = ("_rest",)

    _rest: Callable[[], Mapping[str, object]]

    if not TYPE_CHECKING:  # a misspelt name must stay an error there

        def __getattr__(self, name: str) -> object:
            """Called for what is not set. Threads may do so at once: they set equal values."""
            try:
                rest = object.__getattribute__(self, "_rest")
            except AttributeError:
                rest = dict
            for field, value in rest().items():
                object.__setattr__(self, field, value)
            object.__setattr__(self, "_rest", dict)  # the message is not needed any more
            return object.__getattribute__(self, name)
