"""Sources before what was compiled of them, in this process: tests replace functions, and want to see lines.

Node processes that tests start run what users run: compiled code where there is any.
"""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = tuple(str(ROOT / folder) for folder in ("node", "client"))


def prefer_sources() -> None:
    """Find no compiled module in our packages from now on."""
    sys.path_hooks.insert(0, _source_finder)
    sys.path_importer_cache.clear()


def _source_finder(path: str) -> FileFinder:
    if not path.startswith(FOLDERS):
        raise ImportError(path)
    return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))
