"""Whether the compiled modules of this package were made of the sources beside them (hatch_build.py compiles them)."""

import json
from hashlib import sha256
from pathlib import Path


class StaleCodeError(Exception):
    """A source was changed after it was compiled: what would run is not what can be read."""


def refuse_stale_code(package: Path = Path(__file__).parent) -> None:
    """Raise StaleCodeError if compiled modules are older than their sources; all is well where nothing is compiled."""
    manifest = package / "compiled.json"
    if not manifest.is_file():
        return
    for name, digest in json.loads(manifest.read_text(encoding="utf-8")).items():
        if sha256((package / name).read_bytes()).hexdigest() != digest:
            raise StaleCodeError(f"{package / name} was changed after it was compiled: run `make compiled`")
