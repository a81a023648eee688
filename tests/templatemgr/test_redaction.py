"""Test that secrets of this machine are redacted in each form in which a tool may quote them."""

import base64
from pathlib import Path
from urllib.parse import quote

import pytest

from templatemgr import redaction
from templatemgr.builders import secrets
from templatemgr.redaction import MARK, Redactor

TOKEN = "npm_Zk3/8+Qw=x9LmN0pQ"
PAIR = "robot:p@ss/wörd"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Make a home with each file that npm and pip read, and a secret in each of them."""
    (tmp_path / ".npmrc").write_text(
        f"//one.example/:_authToken={TOKEN}\n//two.example/:_auth={base64.b64encode(PAIR.encode()).decode()}\n"
        f'//three.example/:_password="{base64.b64encode(b"thr33-secret").decode()}"\n'
        "//four.example/:_authToken=${FOUR}\nhttps-proxy=http://me:pr0xy%21word@proxy.example:1\n"
        "cafile=${CA_PLACE}\nregistry=https://one.example/\n"
    )
    (tmp_path / "globalrc").write_text("//five.example/:_authToken=five-of-the-global\n")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://user:1ndex-pw@index.example/simple\n"
        "extra-index-url = https://lonely-token-77@more.example/simple\n"
    )
    (tmp_path / ".netrc").write_text("machine six.example login me password n3trc-w0rd\n")
    return {
        "HOME": str(tmp_path),
        "npm_config_globalconfig": str(tmp_path / "globalrc"),
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "FOUR": "f0ur-by-variable",
        "CA_PLACE": "/etc/ssl/ca.pem",
        "HTTPS_PROXY": "http://other:env-pr0xy@proxy.example:2",
        "CI_JOB_TOKEN": "j0b-token-of-ci",
    }


KNOWN = [TOKEN, PAIR, "p@ss/wörd", "thr33-secret", "f0ur-by-variable", "pr0xy!word", "1ndex-pw",
         "pr0xy%21word", "lonely-token-77", "n3trc-w0rd", "env-pr0xy", "j0b-token-of-ci",
         "five-of-the-global"]  # fmt: skip


@pytest.mark.parametrize("secret", KNOWN)
def test_each_secret_is_redacted_in_each_form(machine: dict[str, str], secret: str) -> None:
    redact = secrets.redactor(machine)
    forms = [
        secret,
        quote(secret, safe=""),
        quote(secret),
        base64.b64encode(secret.encode()).decode(),
    ]
    for form in forms:
        for text in (form, f"GET https://x.example/{form}/y", f'"{form}"', f"a {form}\nb {form} c"):
            assert form not in redact(text), text
            assert MARK in redact(text)
            assert redact.holds(text)


def test_text_without_secrets_is_unchanged(machine: dict[str, str]) -> None:
    redact = secrets.redactor(machine)
    text = (
        "npm http fetch GET 200 https://one.example/is-number/-/is-number-7.0.0.tgz 24ms\n"
        "/etc/ssl/ca.pem is not trusted; user me, robot; sha512-abc==; 127.0.0.1:8000 //host:80/x"
    )
    assert redact(text) == text
    assert not redact.holds(text)
    assert Redactor()(text) == text


@pytest.mark.parametrize("cut", range(8, len(TOKEN) - 8))
def test_a_secret_split_over_two_lines_is_redacted_in_both(cut: int) -> None:
    redact = Redactor([TOKEN])
    first, second = redact(f"error: {TOKEN[:cut]}"), redact(f"{TOKEN[cut:]} is refused")
    assert first == f"error: {MARK}"
    assert second == f"{MARK} is refused"
    assert redact(f"error: {TOKEN[:cut]}\n{TOKEN[cut:]} is refused") == f"{first}\n{second}"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("authorization: basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("at https://someone:else@host.example/x", "else"),
        ("//h.example/:_authToken=abc-unknown", "abc-unknown"),
        ("//h.example/:_password = unknown1", "unknown1"),
        ("https://h.example/x?token=unknown2&y=1", "unknown2"),
    ],
)
def test_text_in_the_form_of_a_credential_is_redacted(text: str, gone: str) -> None:
    assert gone not in Redactor()(text)
    assert MARK in Redactor()(text)


def test_a_short_password_is_redacted_only_as_a_whole_word() -> None:
    redact = Redactor(["abc"])
    assert redact("the abc of abcd") == f"the {MARK} of abcd"


def test_a_line_of_any_length_is_read_once() -> None:
    """Check that the time grows linearly: no pattern backtracks over the text."""
    redact = Redactor([TOKEN])
    for piece in ("//", "//a:", "bearer ", "_auth=", TOKEN[:9], ":", "\n"):
        assert isinstance(redact(piece * (200_000 // len(piece))), str)


def test_missing_configuration_files_are_ignored(tmp_path: Path) -> None:
    assert redaction.files_of({"HOME": str(tmp_path)}, [tmp_path / "none", None]) == []
