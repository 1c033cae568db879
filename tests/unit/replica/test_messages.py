"""A peer's message has one of our shapes, or the peer is cut off."""

from typing import Any

import msgpack
import pytest

from lastunit_node.replica.messages import MAX_INTEGER, MalformedMessage, check_leap, check_message

APPEND: dict[str, Any] = {
    "type": "append",
    "term": 3,
    "prev_index": 4,
    "prev_term": 2,
    "entries": [(b"a", 5, 2), (b"b", 6, 3)],
    "commit_index": 4,
    "log_start": 0,
}

CLAIM = {"instance": "00c0ffee", "admitted": -1}
HASH: dict[str, Any] = {"term": 1, "index": 64, "chain": bytes(16), "digest": bytes(16)}
HASH_REPORT = {"type": "hash_report"} | HASH | CLAIM
DIVERGED = {"type": "diverged"} | HASH | {"majority": True}
VOTE = {"type": "response_vote", "term": 1, "granted": False} | CLAIM


@pytest.mark.parametrize(
    "message",
    [
        APPEND,
        APPEND | {"entries": []},
        {"type": "append_response", "term": 1, "prev_index": 0, "success": True, "last": 0} | CLAIM,
        {"type": "request_vote", "term": 1, "last_log_index": 0, "last_log_term": 0} | CLAIM,
        VOTE,
        VOTE | {"admitted": 17},
        {"type": "pre_vote", "term": 1, "round": 1, "last_log_index": 0, "last_log_term": 0} | CLAIM,
        {"type": "pre_vote_response", "term": 1, "round": 1, "granted": True} | CLAIM,
        {"type": "timeout_now", "term": 1},
        {"type": "hash_request", "term": 1, "index": 64},
        HASH_REPORT,
        DIVERGED,
        {"type": "apply_command", "command": b"x", "request_id": 1},
        {"type": "apply_command_response", "request_id": 1, "log_idx": 1, "log_term": 1},
    ],
)
def test_every_message_of_ours_passes(message: dict[str, Any]) -> None:
    assert check_message(message) == message


@pytest.mark.parametrize(
    "message",
    [
        None,
        "readonly",
        [],
        {},
        {"type": None},
        {"type": {}},
        {"type": [{}]},
        {"type": msgpack.unpackb(b"\x91" * 1000 + b"\xc0", use_list=False)},  # repr cannot show it
        {"type": "next_node_idx", "next_node_idx": 998, "reset": False, "success": True},
        {"type": "append_entries", "term": 1, "serialized": None, "commit_index": 9},
        APPEND | {"term": -1},
        APPEND | {"term": True},
        APPEND | {"term": 1 << 63},
        APPEND | {"term": None},
        APPEND | {"prev_index": 1.0},
        APPEND | {"entries": None},
        APPEND | {"entries": [5]},
        APPEND | {"entries": [{0: b"a", 1: 5, 2: 2}]},
        APPEND | {"entries": [(b"a", 5)]},
        APPEND | {"entries": [("a", 5, 2)]},
        APPEND | {"entries": [(b"a", "5", 2)]},
        APPEND | {"entries": [(b"a", 5, "2")]},
        APPEND | {"entries": [(b"a", 5, 2, 2)]},
        APPEND | {"entries": [(b"a", 6, 2)]},
        APPEND | {"entries": [(b"a", 5, 1)]},
        APPEND | {"entries": [(b"a", 5, 4)]},
        APPEND | {"entries": [(b"a", 5, 3), (b"b", 6, 2)]},
        APPEND | {"acked": 5},
        APPEND | {"acked": ("00c0ffee",)},
        APPEND | {"acked": ("", 5)},
        APPEND | {"acked": ("00c0ffee", -1)},
        {"type": "append_response", "term": 1, "prev_index": 0, "success": 1, "last": 0} | CLAIM,
        {"type": "response_vote", "term": 1, "granted": False},
        VOTE | {"granted": None},
        VOTE | {"admitted": -2},
        VOTE | {"admitted": True},
        VOTE | {"instance": ""},
        VOTE | {"instance": b"00c0ffee"},
        VOTE | {"instance": "a" * 65},
        {"type": "hash_request", "term": 1, "index": -1},
        HASH_REPORT | {"chain": bytes(15)},
        HASH_REPORT | {"digest": bytes(17)},
        HASH_REPORT | {"digest": "d" * 16},
        DIVERGED | {"majority": 1},
        {"type": "apply_command", "command": "x", "request_id": 1},
        {"type": "apply_command", "command": b"x"},
    ],
)
def test_anything_else_is_malformed(message: object) -> None:
    with pytest.raises(MalformedMessage):
        check_message(message)


@pytest.mark.parametrize("term", ["x", None, MAX_INTEGER])
def test_a_term_where_none_belongs_is_not_looked_at(term: object) -> None:
    """One that was no number ended the node."""
    check_leap(check_message({"type": "apply_command", "command": b"x", "request_id": 1, "term": term}), 1)
