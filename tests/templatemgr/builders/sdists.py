"""Make source distributions with a backend of their own, or with a backend from the index."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

# A backend after PEP 517 in a few lines: it packs one module and requires what its project lists.
BACKEND = """
import pathlib, subprocess, sys, zipfile

NAME, VERSION, NEEDS, LATE = {name!r}, {version!r}, {needs!r}, {late!r}
INFO = f"{{NAME}}-{{VERSION}}.dist-info"


def get_requires_for_build_wheel(settings=None):
    return LATE


def build_wheel(folder, settings=None, metadata=None):
    {before}
    for tool in {tools!r}:
        __import__(tool)
        subprocess.run([sys.executable, "-c", f"import {{tool}}"], check=True)
    wheel = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    needs = "".join(f"Requires-Dist: {{need}}\\n" for need in NEEDS)
    files = {{
        f"{{NAME}}.py": pathlib.Path(f"{{NAME}}.py").read_text(),
        f"{{INFO}}/METADATA": f"Metadata-Version: 2.1\\nName: {{NAME}}\\n"
        f"Version: {{VERSION}}\\nProvides-Extra: fast\\n{{needs}}",
        f"{{INFO}}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(f"{{path}},,\\n" for path in (*files, f"{{INFO}}/RECORD"))
    with zipfile.ZipFile(f"{{folder}}/{{wheel}}", "w") as packed:
        for path, text in {{**files, f"{{INFO}}/RECORD": record}}.items():
            packed.writestr(path, text)
    {after}
    return wheel
"""
OWN = '[build-system]\nrequires = {requires}\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def pack(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    """Write a source distribution of these files and return its path."""
    stem = f"{name}-{version}"
    path = folder / f"{stem}.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for inside, text in files.items():
            member = tarfile.TarInfo(f"{stem}/{inside}")
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
    return path


def make(
    folder: Path,
    name: str,
    version: str,
    *,
    needs: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    late: tuple[str, ...] = (),
    before: str = "pass",
    after: str = "pass",
) -> Path:
    """Make a source distribution whose own backend runs `before` and `after` its work."""
    tools = [tool.partition(">")[0] for tool in (*requires, *late)]
    backend = BACKEND.format(
        name=name, version=version, needs=list(needs), late=list(late),
        tools=tools, before=before, after=after,
    )  # fmt: skip
    text = OWN.format(requires=list(requires)).replace("'", '"')
    module = f"VERSION = {version!r}\n"
    files = {"pyproject.toml": text, "backend.py": backend, f"{name}.py": module}
    return pack(folder, name, version, files)
