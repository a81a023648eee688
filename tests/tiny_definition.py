"""A definition that a real build turns into a version in a second: npm with one package."""

import json
from pathlib import Path

INTEGRITY = {
    "6.0.0": "sha512-"
    "Wu1VHeILBK8KAWJUAiSZQX94GmOE45Rg6/538fKwiloUu21KncEkYGPqob2oSZ5mUT73vLGrHQjKw3KMPwfDzg==",
    "7.0.0": "sha512-"
    "41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==",
}

RUNNER = """#!/bin/sh
# Answers without looking at the job: run mode says what is installed, test mode passes one test.
echo '{"type":"ready"}' >&3
read -r job <&3
if [ -w /cache ]; then echo filled > /cache/filled; fi
if [ "$1" = test ]; then
  echo '{"type":"case","name":"passes","file":"a.test.js","state":"passed"}' >&3
  echo '{"type":"result","errors":[],"exit_code":0}' >&3
  exit 0
fi
exec 3>&-
cat /cache/filled
cat /template/said.txt
"""

LIMITS = """
wall_ms = 5000
cpu_ms = 5000
memory_bytes = 134217728
disk_bytes = 8388608
output_bytes = 65536
processes = 16
"""

DEFINITION = f"""format = 1
name = "tiny"
title = "Tiny"
builder = "npm"
summary = "is-number alone"
links = ["node_modules"]
files = ["package.json", "package-lock.json", "runner/main.sh", "said.txt"]
install_scripts = []
prune = ["node_modules/is-number/LICENSE"]
toolchain = {{ "bin/number.js" = "node_modules/is-number/index.js" }}

[env]
GREETING = "hello"

[run]
command = ["runner/main.sh", "run"]
entry = "main.js"

[test]
command = ["runner/main.sh", "test"]
pattern = "*.test.js"

[limits.default]{LIMITS}
[limits.maximum]{LIMITS}
[cache]
submissions = ["run"]
"""

RUN_CASE = """mode = "run"

[expect]
state = "succeeded"
exit_code = 0
stdout = "filled\\nhello\\n"
"""

TEST_CASE = """mode = "test"

[expect]
state = "succeeded"
passed = 1
failed = 0
"""


def package_files(pin: str) -> dict[str, str]:
    """Return package.json and its lock for one exact version of is-number."""
    package = {"name": "tiny", "private": True, "dependencies": {"is-number": pin}}
    entry = {
        "version": pin,
        "integrity": INTEGRITY[pin],
        "license": "MIT",
        "engines": {"node": ">=0.12.0" if pin == "7.0.0" else ">=0.10.0"},
    }
    lock = {
        "name": "tiny",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {
            "": {"name": "tiny", "dependencies": {"is-number": pin}},
            "node_modules/is-number": entry,
        },
    }
    return {
        "package.json": json.dumps(package, indent=2) + "\n",
        "package-lock.json": json.dumps(lock, indent=2) + "\n",
    }


def write_definition(folder: Path, *, pin: str = "7.0.0", **changed: str) -> Path:
    """Write the tiny definition; `changed` maps paths to other contents."""
    files = {
        "template.toml": DEFINITION,
        "runner/main.sh": RUNNER,
        "said.txt": "hello\n",
        "smoke/run/case.toml": RUN_CASE,
        "smoke/run/src/main.js": "// nothing\n",
        "smoke/test/case.toml": TEST_CASE,
        "smoke/test/src/a.test.js": "// nothing\n",
        **package_files(pin),
    }
    files |= changed
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "runner/main.sh").chmod(0o755)
    return folder


def renamed(name: str) -> dict[str, str]:
    """Return what to change in `write_definition` for a template of another name."""
    return {"template.toml": DEFINITION.replace('name = "tiny"', f'name = "{name}"')}
