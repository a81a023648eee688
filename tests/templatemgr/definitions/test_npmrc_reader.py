"""Test that the reader of `.npmrc` accepts only known keys and reads them as npm does."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templatemgr.builders.npm import npm_config
from templatemgr.definitions.readers import npmrc
from templatemgr.definitions.readers.faults import FileError, decoded


def test_usual_settings_are_accepted() -> None:
    text = "; ours\n# yours\n\naudit=false\r\n fund = false \nbefore=2026-11-01\nsave-exact=true\n"
    assert npmrc.read(text) == {
        "audit": "false", "fund": "false", "before": "2026-11-01", "save-exact": "true",
    }  # fmt: skip


REFUSED = [
    "git=/build/tree/node_modules/x/git.sh",
    "allow-git=all",
    "registry=http://127.0.0.1/",
    "@scope:registry=https://elsewhere.example/",
    "//elsewhere.example/:_authToken=secret",
    "_auth=secret",
    "_password=secret",
    "https-proxy=http://elsewhere.example:3128",
    "noproxy=*",
    "strict-ssl=false",
    "cafile=/etc/passwd",
    "ca=x",
    "cert=x",
    "script-shell=/bin/sh",
    "shell=/bin/sh",
    "node-options=--require=./x.js",
    "editor=/bin/sh",
    "viewer=/bin/sh",
    "prefix=/build",
    "cache=/build",
    "userconfig=./other",
    "globalconfig=./other",
    "ignore-scripts=false",
    "ignore_scripts=true",
    "IGNORE-SCRIPTS=true",
    "foreground-scripts=true",
    "legacy-peer-deps=true",
    "install-links=true",
    "replace-registry-host=always",
    "omit=dev",
    "workspaces=true",
    "init-module=./x.js",
    "onload-script=./x.js",
    "audit",
    "audit=",
    "audit=true ; no",
    'audit="false"',
    '"audit"=false',
    "audit[]=false",
    "audit=${HOME}",
    "${HOME}=1",
    "${NPM_TOKEN?}=1",
    "before=${NPM_TOKEN}",
    "before=9999-99-99",
    "before=\N{FULLWIDTH DIGIT TWO}026-01-01",
    "before=2026-W01-1",
    "before=2026-11-01T00:00:00Z ${X}",
    "fund=false\nfund=false",
    "[section]",
    "[section]\naudit=false",
    "__proto__=1",
    "constructor=1",
    "audit =false\N{NO-BREAK SPACE}",
    "\N{NO-BREAK SPACE}; audit=false",
    "aud\N{LATIN SMALL LETTER DOTLESS I}t=false",
    "audit=\N{FULLWIDTH LATIN SMALL LETTER F}alse",
    "audit=false\rgit=/x",
    "; comment\u2028git=/x",
    "; comment\x0bgit=/x",
    "# comment\x85git=/x",
    "audit=false" + "\n; x" * npmrc.MAX_BYTES,
]


@pytest.mark.parametrize("text", REFUSED)
def test_all_other_lines_are_refused(text: str) -> None:
    with pytest.raises(FileError):
        npmrc.read(text)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfaudit=false", b"audit=false\0", b"audit=\xff"])
def test_bytes_that_are_no_plain_text_are_refused(data: bytes) -> None:
    with pytest.raises(FileError):
        decoded(data)


def test_the_error_names_a_variable_of_the_machine() -> None:
    with pytest.raises(FileError, match="uses a variable of the machine"):
        npmrc.read("before=${DAY}\n")


def test_an_error_names_line_key_and_remedy() -> None:
    with pytest.raises(FileError) as caught:
        npmrc.read("audit=false\n\nregistry=https://elsewhere.example/\n")
    assert (caught.value.line, caught.value.key) == (3, "registry")
    assert "docs/reference/definitions.md" in caught.value.remedy


LINES = st.lists(
    st.sampled_from([*(f"{key}=true" for key in npmrc.ALLOWED), *REFUSED[:48], "; x", "", " # y"]),
    max_size=4,
)


@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_accepted_text_holds_no_other_key(lines: list[str], end: str) -> None:
    try:
        found = npmrc.read(end.join(lines))
    except FileError:
        return
    assert set(found) <= set(npmrc.ALLOWED)
    assert all("$" not in value and "/" not in value for value in found.values())


def test_npm_reads_the_same_settings_as_we_do(tmp_path: Path) -> None:
    """Compare with the real `ini` of npm for accepted texts."""
    values = {"before": "2026-11-01", "min-release-age": "3", "lockfile-version": "3"}
    values |= {"save-prefix": "~", "loglevel": "warn"}
    taken = {
        key: values.get(key) or next(v for v in ("true", "false", "none") if allowed(v))
        for key, allowed in npmrc.ALLOWED.items()
    }
    text = "; first\n" + "".join(f"  {key} = {value}\t\r\n" for key, value in taken.items())
    assert npmrc.read(text) == taken
    (tmp_path / "npmrc").write_bytes(text.encode())
    ini = npm_config.wheel() / "lib/node_modules/npm/node_modules/ini"
    places = [str(ini), str(tmp_path / "npmrc")]
    script = (
        "const [ini, file] = process.argv.slice(1);"
        " console.log(JSON.stringify(require(ini).parse(fs.readFileSync(file, 'utf8'))))"
    )
    argv = [str(npm_config.wheel() / "bin/node"), "-e", script, *places]
    done = subprocess.run(argv, capture_output=True, check=True)
    parsed = {key: str(value).lower() for key, value in json.loads(done.stdout).items()}
    assert parsed == taken
