"""Compiles the hot path to machine code with mypyc: for wheels (a hatchling build hook), and in place for a checkout.

    python hatch_build.py           compile beside the sources, as far as they changed (`make` does it by itself)
    python hatch_build.py --remove  remove what was compiled: everything runs interpreted

The sources stay plain Python, and run as they are wherever no C compiler is. What is compiled is a list below: modules
that every order passes through. A package's compiled.json names the sources that its compiled modules were made of; a
node refuses to start when they have changed since (lastunit_node/compiled.py).

What awaits while it handles an exception is not on it: mypyc 2.4.1 has one sys.exc_info() for all coroutines of a
thread. An exception that one of several left there stayed for good, and each that came later held the one before it.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
MANIFEST: Final = "compiled.json"
SUFFIX: Final = sysconfig.get_config_var("EXT_SUFFIX")
MODULES: Final = {
    "client/lastunit_client": (
        "answers",
        "arguments",
        "batch",
        "calls",
        "deadlines",
        "ids",
        "limits",
        "node",
        "nodes",
        "orders",
        "plain",
        "retry",
        "stream",
        "wire",
    ),
    "node/lastunit_node": (
        "frontend/batcher",
        "frontend/calls",
        "frontend/deadlines",
        "frontend/gate",
        "frontend/message",
        "frontend/methods",
        "frontend/orders",
        "frontend/queue",
        "frontend/requests",
        "frontend/responses",
        "frontend/unary",
        "frontend/wire",
        "frontend/work",
        "replica/admission",
        "replica/attempts",
        "replica/checkpoints",
        "replica/clock",
        "replica/compaction",
        "replica/comparison",
        "replica/connection",
        "replica/core",
        "replica/divergence",
        "replica/elections",
        "replica/entry_cache",
        "replica/follower",
        "replica/forwarding",
        "replica/frames",
        "replica/hello",
        "replica/interface",
        "replica/journal",
        "replica/journal_file",
        "replica/leader",
        "replica/link",
        "replica/messages",
        "replica/owner",
        "replica/peers",
        "replica/progress",
        "replica/promise",
        "replica/replica",
        "replica/scanner",
        "replica/state_commits",
        "replica/ticker",
        "replica/transfer",
        "replica/waker",
        "statemachine/*",
    ),
}


class CustomBuildHook(BuildHookInterface[BuilderConfig]):
    """Puts compiled modules into wheels. An editable install has none: `make` compiles in place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, if that can be done here; else the wheel runs interpreted."""
        if version == "editable" or compiler() is None:
            return
        compile_in_place()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [f"*{SUFFIX}", MANIFEST]
        build_data["force_include"] |= {str(file): file.name for file in ROOT.glob(f"*/*{SUFFIX}")}


def sources(package: str) -> list[Path]:
    """The modules of a package that are compiled, as paths below ROOT."""
    found = [file for pattern in MODULES[package] for file in sorted((ROOT / package).glob(f"{pattern}.py"))]
    return [file.relative_to(ROOT) for file in found if file.name != "__init__.py"]


def manifest_of(package: str) -> dict[str, str]:
    """SHA-256 of the sources of a package, by path: of all, for compiled modules have constants of others built in."""
    files = sorted(file for file in (ROOT / package).rglob("*.py") if "cli" not in file.parts)
    return {
        file.relative_to(ROOT / package).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


def compiler() -> str | None:
    """The C compiler that this Python was built for, if it is here, and Python's headers are."""
    name = (sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return shutil.which(name) if headers.is_file() else None


def artifacts() -> Iterator[Path]:
    """What was compiled before, for any version of Python."""
    for folder in ("client", "node"):
        yield from (ROOT / folder).rglob("*.so")
        yield from (ROOT / folder).glob(f"*/{MANIFEST}")


def remove() -> None:
    """Remove all of it."""
    for file in artifacts():
        file.unlink()


def is_current() -> bool:
    """Whether what was compiled is of these sources, and by this very file."""
    here = Path(__file__).stat().st_mtime
    manifests = {package: ROOT / package / MANIFEST for package in MODULES}
    return all(
        file.is_file()
        and file.stat().st_mtime >= here
        and json.loads(file.read_text(encoding="utf-8")) == manifest_of(package)
        for package, file in manifests.items()
    )


def compile_in_place() -> None:
    """Compile every package beside its sources: one library each, so that its modules call each other directly."""
    remove()
    with ThreadPoolExecutor() as packages:
        list(packages.map(_compile, MODULES))


def _compile(package: str) -> None:
    """In a folder of its own, since mypyc leaves much behind; raises CalledProcessError, its output on stderr."""
    manifest = manifest_of(package)
    root = ROOT / package.split("/", maxsplit=1)[0]
    files = [str((ROOT / file).relative_to(root)) for file in sources(package)]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "setup.py"
        script.write_text(_SETUP.format(root=str(ROOT), files=files, name=Path(package).name), encoding="utf-8")
        command = [
            sys.executable,
            str(script),
            "--quiet",
            "build_ext",
            "--build-lib",
            str(root),
            "--build-temp",
            folder,
        ]
        subprocess.run(command, cwd=root, check=True)
    (ROOT / package / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def repair(folder: Path) -> None:
    """Mend the C code that mypyc wrote, and its runtime's.

    An ended call's memory is offered to the next call last, not first: mypyc offers it before it lets go of what the
    call held. Where the end of that begins the next call, or lets another thread begin it, that one would lose its
    arguments again (tests/unit/test_compiled.py has such a call).

    What is thrown into an awaitable is the exception alone: its type and traceback beside it are deprecated since
    Python 3.12, and a warning that is an error (python -W error) came in place of whatever was thrown.
    """
    for file in folder.rglob("*.c"):
        code, count = _OFFER.subn(_OFFER_LAST, file.read_text(encoding="utf-8"))
        assert count == code.count("_free_instance = self;"), f"mypyc {file.name}: the pattern no longer fits"
        if file.name == "misc_ops.c":
            code, count = code.replace(_THROW, _THROW_ALONE), code.count(_THROW)
            assert count == 1, f"mypyc {file.name}: what it throws no longer fits"
        file.write_text(code, encoding="utf-8")


_THROW: Final = "PyObject_CallFunctionObjArgs(_m, type, value, traceback, NULL)"
_THROW_ALONE: Final = "PyObject_CallOneArg(_m, value)"
_OFFER: Final = re.compile(
    r"^    if \((?P<memory>\w+_free_instance) == NULL\) \{\n"
    r"        (?P=memory) = self;\n"
    r"(?P<let_go>.*?)"
    r"        return;\n    \}\n",
    re.MULTILINE | re.DOTALL,
)
_OFFER_LAST: Final = r"""    if (\g<memory> == NULL) {
\g<let_go>        if (\g<memory> == NULL) {
            \g<memory> = self;
            return;
        }
    }
"""
_SETUP: Final = """
import os
import sys
from pathlib import Path
from mypyc.build import mypycify
from setuptools import setup
from pybind11.setup_helpers import ParallelCompile
# A C file for each module, as many at once as there are processors: two thirds of the time of one file on two.
ParallelCompile().install()
# That warning takes gcc a third of its time here, and says nothing of code that nobody wrote by hand.
os.environ["CFLAGS"] = os.environ.get("CFLAGS", "") + " -Wno-maybe-uninitialized"
os.environ["MYPYPATH"] = os.pathsep.join(os.path.join({root!r}, part) for part in ("protos", "node", "client"))
flags = ["--config-file=", "--strict", "--explicit-package-bases"]
flags += ["--ignore-missing-imports", "--follow-imports=silent"]
options = dict(opt_level="3", debug_level="0", multi_file=True)
options |= dict(group_name={name!r}, target_dir=os.path.dirname(__file__))
modules = mypycify([*flags, *{files!r}], **options)
sys.path.insert(0, {root!r})
from hatch_build import repair
repair(Path(__file__).parent)
setup(name={name!r}, packages=[], ext_modules=modules)
"""


def main() -> int:
    """The command line; exit status 0 also where nothing can be compiled, because nothing needs to be."""
    if sys.argv[1:] == ["--remove"]:
        remove()
    elif compiler() is None:
        remove()
        print("no C compiler with Python's headers: lastunit runs interpreted, which is slower", file=sys.stderr)
    elif not is_current():
        print("compiling the hot path (one to two minutes, after each change of it)", file=sys.stderr)
        try:
            compile_in_place()
        except subprocess.CalledProcessError:
            remove()
            print("not compiled, for what is said above; nodes run the sources", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
