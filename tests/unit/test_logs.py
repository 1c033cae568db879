"""The node's log."""

import subprocess
import sys

PROGRAM = """
import threading, structlog
from lastunit_node.logs import configure_logging
configure_logging("n7")
log = structlog.get_logger()
thread = threading.Thread(target=log.info, args=("elsewhere",))
thread.start()
thread.join()
log.warning("here", index=3)
"""


def test_every_line_names_its_node_whatever_thread_it_comes_from() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert "level=info node=n7 event=elsewhere" in first
    assert "level=warning node=n7 event=here index=3" in second
