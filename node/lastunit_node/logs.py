"""The node's log: one line per event on stderr, key=value, with UTC times for people (no decision reads them).

A line that stderr does not take is dropped (streams.py): the Raft thread logs, and must not end for want of a reader.
"""

import logging
import sys
from functools import partial

import structlog


def configure_logging(node: str) -> None:
    """Send structlog and the standard library's warnings to stderr, every line with the node's name.

    After guard_streams.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("pysyncobj").setLevel(logging.CRITICAL)  # what it reports, it also raises, and we say it better
    structlog.configure(
        processors=[
            partial(_name, node),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "node", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _name(node: str, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Whose line it is. Not a context variable of structlog's: those do not reach the Raft thread."""
    event["node"] = node
    return event
