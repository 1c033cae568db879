"""PySyncObj's private names that syncobj.py relies on are there; an upgrade that moves one fails here first."""

import inspect
import re
import socket
from pathlib import Path

import pysyncobj
from pysyncobj import fast_queue
from pysyncobj import syncobj as pysyncobj_module

from lastunit_node.replica import syncobj


def test_the_pinned_version_is_installed() -> None:
    assert pysyncobj_module.VERSION == "0.3.17"
    assert Path(pysyncobj.__file__).is_file()


def test_every_private_name_is_in_the_pinned_source() -> None:
    used = set(re.findall(r"_SyncObj(__\w+)", inspect.getsource(syncobj)))
    source = inspect.getsource(pysyncobj_module)
    assert len(used) > 20
    assert {name for name in used if f"self.{name}" not in source} == set()


def test_the_queue_of_proposals_can_be_seen_to_be_empty() -> None:
    """Asking it for a proposal costs an exception when it has none, which is every other turn."""
    assert "self.__queue = deque()" in inspect.getsource(fast_queue)
    assert "_FastQueue__queue" in inspect.getsource(syncobj)


def test_what_is_replaced_while_the_constructor_runs_is_looked_up_there() -> None:
    source = inspect.getsource(pysyncobj_module.SyncObj.__init__)
    for made in ("createJournal(", "PipeNotifier("):
        assert f" = {made}" in source


def test_every_overridden_step_is_a_method_that_is_looked_up_on_the_instance() -> None:
    overridden = [name for name in vars(syncobj.RaftHooks) if name.startswith("_SyncObj__")]
    assert len(overridden) == 6
    for name in overridden:
        assert callable(getattr(pysyncobj_module.SyncObj, name))


def test_importing_it_leaves_the_standard_library_whole() -> None:
    """PySyncObj replaces socket.inet_ntop with a Windows-only function; psutil's net_connections broke on it."""
    assert socket.inet_ntop(socket.AF_INET, b"\x7f\x00\x00\x01") == "127.0.0.1"
