"""Page sizes and page tokens (AIP-158).

A token is opaque to callers: base64 of "1", the name of the list with its filter, and the last key of the page before.
Keys sort, so a page starts after its token's key whatever has changed in between.
"""

import base64
import binascii
from typing import Final

from lastunit_node.frontend.errors import invalid_argument
from lastunit_node.statemachine.limits import is_id

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000
VERSION: Final = "1"


def page_size(asked: int) -> int:
    """How many rows a page holds at most."""
    if asked < 0:
        raise invalid_argument("page_size", f"must not be negative, is {asked}")
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def page_token(listing: str, last_key: str) -> str:
    """The token of the page after last_key. `listing` names the list and its filter, without a slash."""
    return base64.urlsafe_b64encode(f"{VERSION}/{listing}/{last_key}".encode()).decode()


def start_after(listing: str, token: str) -> str:
    """The key a page starts after; empty for the first page. CallError for a token of another list or filter."""
    if not token:
        return ""
    version, _, rest = _decode(token).partition("/")
    found, _, key = rest.partition("/")
    if version != VERSION or found != listing or not is_id(key):
        raise invalid_argument("page_token", "is not one that this list and filter gave")
    return key


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_argument("page_token", "is not one that this service gave") from None
