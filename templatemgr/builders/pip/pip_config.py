"""Merge this machine's configuration of pip into one file for the cage.

The cage gets a file and no variables, because variables stand on a command line, where every user
of the machine can read a token. Only settings about the source of packages and the way to it are
passed on. The definition decides which packages are installed.
"""

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pip._internal.models.index import PyPI

from sandbox.network.egress import Endpoint
from sandbox.network.upstream import Upstream
from templatemgr.builders import registries

SETTINGS = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "constraint",
    "timeout",
    "default-timeout",
    "retries",
    "uploaded-prior-to",
)
LINKS = ("index-url", "extra-index-url", "find-links")  # fmt: skip
PLACE = "/pip-config"  # in the cage
CONFIG, NETRC, CLIENT = (f"{PLACE}/{name}" for name in ("pip.conf", "netrc", "client.pem"))
SECTIONS = ("global", "download", "install")
INDEXES = ("index-url", "extra-index-url")
FILES = ("find-links", "cert", "constraint")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine's configuration of pip, in the form in which the cage gets it.

    `binds` are pairs of a path of this machine and a path in the cage. `env` has variables.
    `files` has contents by path in the cage: copies, because the cage's user is another one and
    cannot read an original that is readable only by its owner. `settings` are the merged settings.
    """

    files: Mapping[str, bytes] = field(repr=False)
    binds: tuple[tuple[Path, str], ...]
    env: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def endpoints(self) -> tuple[frozenset[Endpoint], frozenset[Endpoint]]:
        """Return the configured hosts, and the hosts of PyPI if its index was not replaced."""
        words = " ".join(self.settings.get(key, "") for key in LINKS).split()
        named = frozenset(filter(None, map(registries.endpoint, words)))
        if "index-url" in self.settings or self.settings.get("no-index"):
            return named, frozenset()
        return named, usual() - named

    def operator_proxy(self, environ: Mapping[str, str]) -> Upstream:
        """Return the proxy of pip's setting, else of the environment. Raises ValueError."""
        return registries.operator_proxy(environ, self.settings.get("proxy", ""))


def usual() -> frozenset[Endpoint]:
    """Return the hosts that pip reaches without configuration: PyPI's index and its files."""
    index = PyPI  # a constant of pip
    return frozenset({(index.netloc, 443), (index.file_storage_domain, 443)})


def read(environ: Mapping[str, str], *, root: Path = Path("/")) -> Machine:
    """Merge pip's configuration files and variables in pip's own order of precedence.

    `root` is the folder that contains `etc`. Raises ValueError for a file with another syntax,
    OSError for a file that cannot be read.
    """
    settings: dict[str, str] = {}
    for file in files(environ, root):
        settings |= _from_file(file)
    settings |= _from_variables(environ)
    env = {name: environ[name] for name in CERTIFICATES if environ.get(name)}
    named = [Path(env[name]) for name in CERTIFICATES if name in env]
    named += [path for key in FILES for path in _paths(settings.get(key, ""))]
    # The pages of an index in a local folder link to files beside that folder.
    named += [path.parent for key in INDEXES for path in _paths(settings.get(key, ""))]
    binds = [(path, str(path)) for path in _outermost(named)]
    copies: dict[str, bytes] = {}
    netrc = Path(environ.get("NETRC") or Path(environ.get("HOME", "/"), ".netrc"))
    if netrc.is_file():
        copies[NETRC], env["NETRC"] = netrc.read_bytes(), NETRC
    for path in _paths(settings.get("client-cert", "")):
        if path.is_file():
            copies[CLIENT], settings["client-cert"] = path.read_bytes(), CLIENT
    # The proxy and its credentials stay outside: the cage has a proxy of its own.
    shown = {key: value for key, value in settings.items() if key != "proxy"}
    copies[CONFIG] = _text(shown).encode()
    return Machine(files=copies, binds=tuple(binds), env=env, settings=settings)


def files(environ: Mapping[str, str], root: Path = Path("/")) -> list[Path]:
    """Return the existing configuration files of pip, in ascending order of precedence."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:  # pip then reads no file
        return []
    home = Path(environ.get("HOME", "/"))
    shared = (environ.get("XDG_CONFIG_DIRS") or str(root / "etc/xdg")).split(":")
    personal = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    everybody = [*(Path(folder, "pip/pip.conf") for folder in shared), root / "etc/pip.conf"]
    user = [home / ".pip/pip.conf", personal / "pip/pip.conf"]
    if named and Path(named).is_file():
        user = []
    site = [Path(sys.prefix, "pip.conf")]
    last = [Path(named)] if named else []
    return [path for path in (*everybody, *user, *site, *last) if path.is_file()]


def _from_file(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8", errors="replace"))
    except configparser.Error as error:
        message = f"{file} is not a configuration file of pip: {error}"
        raise ValueError(message) from error
    found: dict[str, str] = {}
    for section in SECTIONS:
        items = parser.items(section) if parser.has_section(section) else []
        found |= {key.replace("_", "-"): " ".join(value.split()) for key, value in items}
    return _known(found)


def _from_variables(environ: Mapping[str, str]) -> dict[str, str]:
    found = {
        key.removeprefix("PIP_").lower().replace("_", "-"): " ".join(value.split())
        for key, value in environ.items()
        if key.startswith("PIP_") and value.strip()
    }
    return _known(found)


def _known(settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key in SETTINGS}


def _paths(value: str) -> list[Path]:
    """Return the absolute paths and the paths of file: URLs in a setting, separated by spaces."""
    addresses = (item for item in value.split() if item.startswith(("/", "file:///")))
    return [Path(unquote(urlsplit(item).path)) for item in addresses]


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the existing paths, without those that lie inside another of them."""
    present = sorted({path for path in paths if path.exists() and path != Path("/")})
    return [path for path in present if not any(parent in present for parent in path.parents)]


def _text(settings: Mapping[str, str]) -> str:
    lines = [f"{key} = {value}" for key, value in sorted(settings.items())]
    return "\n".join(["[global]", *lines, ""])
