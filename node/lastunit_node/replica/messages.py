"""The messages between nodes: their shapes, and the check that what arrived has one of them. Pure.

Everything is a flat dict of integers, strings, bytes and lists, with the type's name under "type". Every answer carries
the term it was given in and echoes what it answers, so that a late one, or one from a connection that has been
replaced, cannot be taken for another (docs/raft-rules.md, rules 2 and 3).

append            leader -> follower  term, prev_index, prev_term, entries, commit_index, log_start (0; or, with neither
                                      entries nor commit index: the follower lacks what the leader's log starts after),
                                      acked (in a probe: instance and index that the follower acknowledged in this term)
append_response * follower -> leader  term, prev_index (echo), success, last (proved, or the hint on a rejection)
request_vote    * candidate -> all    term, last_log_index, last_log_term        (PySyncObj's own)
response_vote   * voter -> candidate  term, granted
pre_vote        * follower -> all     term (its own), round, last_log_index, last_log_term
pre_vote_response *                   term, round (echo), granted
timeout_now       leader -> follower  term                                       (PySyncObj's own)
hash_request      leader -> follower  term, index
hash_report     * follower -> leader  term, index, chain, digest (its state's, at that index)
diverged          leader -> follower  term, index, chain, digest (of others), majority (whether most have it)
apply_command     follower -> leader  command, request_id                        (PySyncObj's own)
apply_command_response                request_id, then error, or log_idx and log_term

Those with a * are counted: they also carry instance (of the sender's disk) and admitted (admission.py).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from lastunit_node.statemachine.hashing import HASH_BYTES
from lastunit_node.statemachine.limits import is_id

Message = Mapping[str, Any]

MAX_INTEGER: Final = 1 << 62
MAX_LEAP: Final = 1 << 32  # of terms: 136 years of an election a second

COUNTED: Final = frozenset(
    {"append_response", "request_vote", "response_vote", "pre_vote", "pre_vote_response", "hash_report"}
)


class MalformedMessage(Exception):
    """A peer sent something that is no message of ours; its connection is closed."""


def _is_integer(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _is_admitted(value: object) -> bool:
    return type(value) is int and -1 <= value <= MAX_INTEGER


def _is_instance(value: object) -> bool:
    return type(value) is str and is_id(value)


def _is_bool(value: object) -> bool:
    return type(value) is bool


def _is_bytes(value: object) -> bool:
    return type(value) is bytes


def _is_hash(value: object) -> bool:
    return type(value) is bytes and len(value) == HASH_BYTES


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and _is_bytes(value[0])
        and _is_integer(value[1])
        and _is_integer(value[2])
    )


def _is_entries(value: object) -> bool:
    return isinstance(value, list | tuple) and all(_is_entry(entry) for entry in value)


def _is_acked(value: object) -> bool:
    return value is None or (
        isinstance(value, tuple) and len(value) == 2 and _is_instance(value[0]) and _is_integer(value[1])
    )


_FIELDS: Final[dict[str, dict[str, Callable[[object], bool]]]] = {
    "append": {
        "term": _is_integer,
        "prev_index": _is_integer,
        "prev_term": _is_integer,
        "entries": _is_entries,
        "commit_index": _is_integer,
        "log_start": _is_integer,
        "acked": _is_acked,
    },
    "append_response": {"term": _is_integer, "prev_index": _is_integer, "success": _is_bool, "last": _is_integer},
    "request_vote": {"term": _is_integer, "last_log_index": _is_integer, "last_log_term": _is_integer},
    "response_vote": {"term": _is_integer, "granted": _is_bool},
    "pre_vote": {
        "term": _is_integer,
        "round": _is_integer,
        "last_log_index": _is_integer,
        "last_log_term": _is_integer,
    },
    "pre_vote_response": {"term": _is_integer, "round": _is_integer, "granted": _is_bool},
    "timeout_now": {"term": _is_integer},
    "hash_request": {"term": _is_integer, "index": _is_integer},
    "hash_report": {"term": _is_integer, "index": _is_integer, "chain": _is_hash, "digest": _is_hash},
    "diverged": {
        "term": _is_integer,
        "index": _is_integer,
        "chain": _is_hash,
        "digest": _is_hash,
        "majority": _is_bool,
    },
    "apply_command": {"command": _is_bytes, "request_id": _is_integer},
    "apply_command_response": {"request_id": _is_integer},
}
for _counted in COUNTED:
    _FIELDS[_counted] |= {"instance": _is_instance, "admitted": _is_admitted}


def check_message(message: object) -> Message:
    """The message, if it has the shape of its type; else MalformedMessage."""
    if not isinstance(message, dict):
        raise MalformedMessage(f"a {type(message).__name__} is no message")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:  # what is no string may be impossible to look for, or to show
        raise MalformedMessage(f"unknown message type {kind if isinstance(kind, str) else type(kind).__name__}")
    for name, is_valid in _FIELDS[kind].items():
        if not is_valid(message.get(name)):
            raise MalformedMessage(f"{kind}: bad {name}")
    if kind == "append":
        _check_entries_in_order(message)
    return message


def check_leap(message: Message, term: int) -> None:
    """MalformedMessage for a term that no elections can have led to, seen from this node's.

    It would be adopted, on disk and by every node: close to MAX_INTEGER there could be no election any more.
    """
    if "term" in _FIELDS[message["type"]] and message["term"] - term > MAX_LEAP:  # else one that nobody looked at
        raise MalformedMessage(f"{message['type']}: term {message['term']} is too far from {term}")


def _check_entries_in_order(message: Message) -> None:
    index, term = message["prev_index"], message["prev_term"]
    for _, entry_index, entry_term in message["entries"]:
        index += 1
        if entry_index != index or not term <= entry_term <= message["term"]:
            raise MalformedMessage(f"append: entry {entry_index} of term {entry_term} is out of order")
        term = entry_term
