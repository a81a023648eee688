"""Remove this machine's secrets from log lines, messages and responses.

Tools quote their configuration in errors. Every known secret is replaced by a mark: tokens,
passwords and user:password pairs in addresses, each in its encoded forms too. Text with the shape
of a credential is replaced as well.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote

MARK = "[secret]"
# A short secret is removed only as a whole word, because many words may contain it.
SHORT, SHORTEST = 6, 2
# A part of a secret at the end or start of a line counts as a secret that was cut there.
CUT = 8
_SHAPES = (
    (re.compile(r"(?i)\b(bearer|basic)[ \t]{1,4}[A-Za-z0-9._~+/=-]{8,4096}"), rf"\1 {MARK}"),
    (re.compile(r"//[^\s/@:'\"<>]{0,256}:[^\s/@'\"<>]{1,1024}@"), f"//{MARK}@"),
    (
        re.compile(
            r"(?i)(:?_(?:authtoken|auth|password)|[?&](?:token|password|secret))"
            r"(\s{0,4}[=:]\s{0,4}[\"']?)[^\s\"'&]{3,4096}"
        ),
        rf"\1\2{MARK}",
    ),
)
_SECRET_KEY = re.compile(r"(?i)(auth|authtoken|password|passwd|token|secret|otp)$|^(key|cert)$")
_SECRET_NAME = re.compile(r"(?i)token|passw|secret|credential|_auth|api_?key")
_USER_INFO = re.compile(r"//(?P<user>[^\s/@:]{0,256})(:(?P<password>[^\s/@]{0,1024}))?@")
_VARIABLE = re.compile(r"\$\{?(\w+)\??\}?")
_USUAL_WORDS = frozenset(("true", "false", "null", "none", "anonymous", "git", "root", "oauth2"))


class Redactor:
    """Know secrets, and remove them from texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        said = {part for secret in secrets for part in (secret, *_decoded(secret))}
        forms = {form for secret in said for form in _forms(secret)}
        known = sorted(forms, key=len, reverse=True)
        long = [re.escape(form) for form in known if len(form) >= SHORT]
        short = [re.escape(form) for form in known if SHORTEST <= len(form) < SHORT]
        parts = [*long, *(rf"(?<![\w]){form}(?![\w])" for form in short)]
        self._known = re.compile("|".join(parts)) if parts else None
        self._forms = tuple(form for form in known if len(form) >= 2 * CUT)

    def __call__(self, text: str) -> str:
        """Return a text of one or more lines without its secrets."""
        found = self._known.sub(MARK, text) if self._known else text
        for shape, instead in _SHAPES:
            found = shape.sub(instead, found)
        if self._forms:
            found = "\n".join(map(self._uncut, found.split("\n")))
        return found

    def holds(self, text: str) -> bool:
        """Return whether a text contains a known secret."""
        return self._known is not None and self._known.search(text) is not None

    def _uncut(self, line: str) -> str:
        """Remove the start of a secret at the end of a line, and its end at the start of a line."""
        for form in self._forms:
            lengths = range(min(len(form) - 1, len(line)), CUT - 1, -1)
            if line[-CUT:] in form:
                cut = next((n for n in lengths if line.endswith(form[:n])), 0)
                line = line[:-cut] + MARK if cut else line
            if line[:CUT] in form:
                cut = next((n for n in lengths if line.startswith(form[-n:])), 0)
                line = MARK + line[cut:] if cut else line
        return line


def of_machine(
    environ: Mapping[str, str], files: Iterable[bytes] = (), settings: Iterable[object] = ()
) -> Redactor:
    """Return a redactor for the secrets of an environment and of the files of npm, pip and netrc.

    `settings` are values that are secret as a whole, or contain addresses with a user.
    """
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name) and len(value) >= SHORT:  # otherwise a number or a switch
            found.add(value)
        found |= _in_addresses(value)
    for content in files:
        found |= _in_file(content.decode("utf-8", "replace"), environ)
    for setting in settings:
        found |= {str(setting)} | _in_addresses(str(setting))
    return Redactor(item for item in found if item.lower() not in _USUAL_WORDS)


def files_of(environ: Mapping[str, str], paths: Iterable[Path | None]) -> list[bytes]:
    """Return the content of the readable files among these, and of the netrc."""
    netrc = Path(environ.get("NETRC") or Path(environ.get("HOME", "/"), ".netrc"))
    found = []
    for path in (*paths, netrc):
        if path is not None:
            with suppress(OSError):
                found.append(path.read_bytes())
    return found


def _in_file(text: str, environ: Mapping[str, str]) -> set[str]:
    found = _in_addresses(text)
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and _SECRET_KEY.search(key.strip().strip("\"'")):
            found |= _values(value, environ)
        for name in _VARIABLE.findall(line):
            given = environ.get(name, "")
            if not given.startswith(("/", "http:", "https:")):
                found.add(given)
    words = text.split()
    found |= {
        after.strip("\"'")
        for word, after in pairwise(words)
        if word in ("password", "account")  # of a netrc
    }
    return found


def _values(value: str, environ: Mapping[str, str]) -> set[str]:
    plain = value.strip().strip("\"'")
    whole = _VARIABLE.sub(lambda match: environ.get(match[1], match[0]), plain)
    return {plain, whole} - {""}


def _in_addresses(text: str) -> set[str]:
    found: set[str] = set()
    for match in _USER_INFO.finditer(text):
        user, password = match["user"], match["password"]
        if password:
            found |= {password, unquote(password), f"{user}:{password}"}
            found.add(f"{unquote(user)}:{unquote(password)}")
        elif len(user) >= SHORT:
            found |= {user, unquote(user)}  # the user part may be a token alone
    return found


def _forms(secret: str) -> set[str]:
    """Return the forms of a secret: plain, quoted for addresses and for JSON, in base64."""
    text = secret.strip()
    if len(text) < SHORTEST:
        return set()
    found = {text, quote(text, safe=""), quote(text)}
    found.add(text.replace("\\", "\\\\").replace('"', '\\"'))
    encoded = base64.b64encode(text.encode()).decode()
    found |= {encoded, encoded.rstrip("=")}
    return found


def _decoded(secret: str) -> set[str]:
    """Return a secret decoded from base64, as npm stores pairs and passwords."""
    with suppress(binascii.Error, UnicodeDecodeError, ValueError):
        text = base64.b64decode(secret.strip(), validate=True).decode("utf-8")
        if text.isprintable():
            return {text, text.partition(":")[2]}
    return set()
