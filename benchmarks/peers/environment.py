"""Where the peers live: an environment of their own, so that the project's has none of their packages.

Weaviate is published as a Go module: it is compiled where there is a Go compiler. Qdrant
is on no package registry as a server (its crate is an empty name), so it is not here.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".benchmarks" / "peers"
PYTHON = HOME / "venv" / "bin" / "python"
WEAVIATE = HOME / "weaviate-server"
WEAVIATE_VERSION = "v1.35.2"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
GO_MODULE = "github.com/weaviate/weaviate"


def install() -> None:
    """Make the environment, and compile Weaviate."""
    HOME.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(HOME / "venv")], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=True)
    go = shutil.which("go")
    if go is None:
        print("There is no Go compiler: Weaviate is left out.")
        return
    source = HOME / "weaviate"
    source.mkdir(exist_ok=True)
    (source / "go.mod").write_text("module benchmark\n\ngo 1.25\n")
    subprocess.run([go, "get", f"{GO_MODULE}@{WEAVIATE_VERSION}"], cwd=source, check=True)
    command = [go, "build", "-mod=mod", "-o", str(WEAVIATE), f"{GO_MODULE}/cmd/weaviate-server"]
    subprocess.run(command, cwd=source, check=True)


def program(name: str) -> str:
    """Return the path of a program that a package brought."""
    return str(PYTHON.with_name(name))


def package_versions() -> dict[str, str]:
    """Return the versions of all that is in the environment."""
    command = [str(PYTHON), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(line.split("==") for line in printed.split() if "==" in line)
    if WEAVIATE.exists():
        found["weaviate"] = WEAVIATE_VERSION.removeprefix("v")
    return found
