"""Generates the Python code of the API beside its .proto files, checks it for drift, and lints the .proto files.

    python protos/generate.py            write *_pb2.py, *_pb2.pyi, *_pb2_grpc.py and *_pb2_grpc.pyi
    python protos/generate.py --check    exit status 1 when what is committed is not what would be written
    python protos/generate.py --lint     buf lint by the rules of buf.yaml

Nothing here uses a network: protoc comes from grpcio-tools, buf from buf-bin, and google/rpc/status.proto from
googleapis-common-protos. Imported files are handed to buf in a descriptor image, so only our own are judged.
"""

import argparse
import filecmp
import importlib.resources
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import google.rpc.status_pb2
import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
BIN = Path(sysconfig.get_path("scripts"))  # of this environment, whether or not it is on PATH
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("lastunit/**/*.proto"))
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def include_paths() -> list[str]:
    """Where protoc looks: our files, google/protobuf, google/rpc."""
    well_known = importlib.resources.files(grpc_tools) / "_proto"
    common = Path(google.rpc.status_pb2.__file__).parents[2]
    return [f"--proto_path={path}" for path in (ROOT, well_known, common)]


def run_protoc(*options: str) -> None:
    """Run protoc over our files, or end the program with its exit status."""
    status = protoc.main(["protoc", *include_paths(), *options, *SOURCES])
    if status:
        sys.exit(int(status))


def generate(target: Path) -> None:
    """Write all generated files below `target`. The stubs carry the comments of the .proto files as docstrings."""
    run_protoc(
        f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet,readable_stubs:{target}",
        f"--mypy_grpc_out=quiet:{target}",
    )


def generated_files() -> list[str]:
    """What `generate` writes, relative to its target."""
    return [source.removesuffix(".proto") + suffix for source in SOURCES for suffix in SUFFIXES]


def check() -> int:
    """Compare what is committed with what would be written."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        _, differing, missing = filecmp.cmpfiles(ROOT, scratch, generated_files(), shallow=False)
    stray = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("lastunit/**/*_pb2*.py*") if path.suffix != ".pyc")
    stray = [name for name in stray if name not in generated_files()]
    for name in differing + missing + stray:
        print(f"protos/{name} is not what its .proto gives: run `make protos`", file=sys.stderr)
    return 1 if differing or missing or stray else 0


def lint() -> int:
    """Judge our .proto files by buf.yaml."""
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "lastunit.binpb"
        run_protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
        paths = [f"--path={source}" for source in SOURCES]
        command = [str(BIN / "buf"), "lint", str(image), "--config", str(ROOT / "buf.yaml"), *paths]
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Parse the arguments and do it."""
    parser = argparse.ArgumentParser(description="Generate, check or lint the Python code of the API.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="compare only, write nothing")
    action.add_argument("--lint", action="store_true", help="judge the .proto files by buf.yaml")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.lint:
        return lint()
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
