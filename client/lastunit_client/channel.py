"""gRPC channels to nodes.

The library's own retries (retry.py) are the only ones on them: they know ids and other nodes. Who calls the generated
stubs without this library finds retries for queries (AIP-194) in service_config(); commands are only given a deadline
there, since a retry is safe only under an id that the caller kept.
"""

import os
from importlib import resources
from typing import Final

import grpc

from lastunit_client.errors import ClientClosedError
from lastunit_client.limits import MAX_MESSAGE_BYTES

DIRECT: Final = (  # of every channel to a node, the operator's too
    ("grpc.enable_http_proxy", 0),  # loopback never goes through a proxy, whatever the environment names
    ("grpc.use_local_subchannel_pool", 1),  # clients in one process share neither connections nor back-off
)
_OPTIONS: Final = (
    *DIRECT,
    ("grpc.enable_retries", 0),  # no second retry loop underneath ours
    ("grpc.initial_reconnect_backoff_ms", 100),  # a killed node is back soon
    ("grpc.min_reconnect_backoff_ms", 1_000),  # time for an attempt to connect: a paused node accepts and says nothing
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),  # for a peer that vanished without a word; nodes take one in 10 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_send_message_length", 2 * MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", 64 * MAX_MESSAGE_BYTES),  # 4,096 answers, each with its units
)


_was_used = False  # gRPC, by this process or by one that it is a fork of
_is_broken = False  # gRPC in here: used before a fork(), of which this is the child


def _after_fork() -> None:
    global _is_broken  # noqa: PLW0603  # of the process, as gRPC is
    _is_broken = _was_used


os.register_at_fork(after_in_child=_after_fork)


def open_channel(endpoint: str) -> grpc.aio.Channel:
    """A channel to one node; connects when first used. Plain text: nodes bind loopback only, until there is TLS.

    ClientClosedError in the child of a process that had opened one before fork(): gRPC would hang or crash, in both.
    """
    global _was_used  # noqa: PLW0603
    if _is_broken:
        raise ClientClosedError(
            "gRPC was used before fork(): start processes by spawn or exec, or make the first call after the fork"
        )
    _was_used = True
    return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)


def service_config() -> str:
    """JSON for the option "grpc.service_config" of a channel that is used without this library."""
    return resources.files("lastunit_client").joinpath("service_config.json").read_text()
