"""Which variables foreign input may set for a program: one rule for definitions and for clients.

`fault(name)` holds for both: names that the loader, the C library, an interpreter, a shell, a TLS
library, a package manager or Stencil read, whatever their value. A client check asks it for each
name that it takes. `check_definition` adds what a definition may set all the same (EXACT, each with
the values it may have), names that end as search paths and options do, and bounds of size.

`before_rights_are_dropped(name)` names what acts on any program that is started with it, and so on
Stencil's own on the way to the runner: versions that were built before this rule are run without.
"""

import re
from collections.abc import Callable, Mapping

MAX_VARIABLES = 64
MAX_NAME_BYTES = 128
MAX_VALUE_BYTES = 4 * 1024
MAX_BYTES = 16 * 1024
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

# Compared without regard to case, as some are read in both (http_proxy, npm_config_…). One with a
# star at its end stands for all names that begin so.
LOADER = (
    "LD_*", "GLIBC_*", "MALLOC_*", "DYLD_*", "_RLD*", "LIBPATH", "SHLIB_PATH", "GCONV_PATH",
    "GETCONF_DIR", "LOCPATH", "NLSPATH", "TZDIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS",
    "RESOLV_*", "NIS_PATH", "LIBC_*", "DATEMSK", "ARGP_*", "TMPDIR", "GCOV_*", "LLVM_PROFILE*",
    "ASAN_*", "LSAN_*", "MSAN_*", "TSAN_*", "UBSAN_*", "OPENSSL*", "SSL_*", "SSLKEYLOGFILE",
    "LIBSECCOMP*", "CAPNG_*", "PATH", "IFS", "ENV", "BASH_*", "BASHOPTS", "SHELLOPTS", "PS4",
)  # fmt: skip
OTHERS = (
    # Interpreters and what they load by themselves.
    "PYTHON*", "__PYVENV*", "PIP_*", "UV_*", "VIRTUAL_ENV*", "CONDA_*", "PYTEST*", "COVERAGE_*",
    "NODE_*", "NPM_*", "YARN_*", "PNPM_*", "BUN_*", "DENO_*", "TS_NODE*", "TSX_*", "ESBUILD_*",
    "NAPI_RS*", "SWC_*", "VITEST*", "VITE_NODE*", "COREPACK_*", "ELECTRON_*",
    "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "RAKEOPT", "JAVA*", "_JAVA*", "JDK_*", "JVM_*",
    "CLASSPATH", "MAVEN_*", "GRADLE_*", "KOTLIN_*", "SCALA_*", "GROOVY_*", "PHPRC", "PHP_*",
    "LUA_*", "TCL*", "TK_*", "JULIA_*", "R_*", "RSCRIPT*", "GUILE_*", "ERL_*", "ELIXIR_*",
    "GODEBUG", "GOFLAGS", "GOROOT", "GOENV", "GOTOOLCHAIN", "GOCOVERDIR", "GOTRACEBACK",
    "DOTNET_*", "COMPLUS_*", "CORECLR_*", "MONO_*", "RUSTC*", "CARGO_*", "GHC*", "AWKPATH",
    "AWKLIBPATH", "OMP_TOOL*", "MPLBACKEND", "MPLCONFIGDIR",
    # Shells and what they read.
    "BASH", "ZDOTDIR", "FPATH", "CDPATH", "GLOBIGNORE", "PROMPT_COMMAND", "PS0", "PS1", "PS2",
    "PS3", "KSH_*", "INPUTRC", "POSIXLY_CORRECT", "TERM", "TERMINFO*", "TERMCAP", "HISTFILE",
    "MAIL", "MAILPATH", "MAILCHECK", "OPTIND", "OPTARG",
    # Programs that others start, and addresses, certificates and secrets.
    "SHELL", "EDITOR", "VISUAL", "PAGER", "BROWSER", "GIT_*", "SSH_*", "LESS", "LESSOPEN",
    "LESSCLOSE", "MANPATH", "CURL_*", "REQUESTS_*", "GNUTLS_*", "NSS_*", "KRB5*", "GSS_*",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "AWS_*", "DBUS_*",
    "SYSTEMD_*", "NOTIFY_SOCKET", "LISTEN_*", "GIO_*", "GTK_*", "QT_*", "LIBGL_*", "CUDA_*",
    "OPENCL_*", "OCL_*", "VK_*",
    # Compilers.
    "CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH",
    "COMPILER_PATH", "GCC_*", "PKG_CONFIG*", "CFLAGS", "LDFLAGS", "MAKEFLAGS",
    # The place, the person, and ourselves.
    "HOME", "USER", "LOGNAME", "PWD", "OLDPWD", "TMP", "TEMP", "XDG_*", "STENCIL*", "DJANGO_*",
    "GUNICORN_*", "BWRAP*", "SUDO_*",
)  # fmt: skip
# What no definition lets a client set before a runner starts (`[variables]`).
OURS = (
    "LD_*", "GLIBC_*", "MALLOC_*", "GCONV_PATH", "LOCPATH", "PATH", "HOME", "PWD", "STENCIL*",
)  # fmt: skip
# Of a definition: names that end so are search paths, options or things to load, of whatever tool.
ENDINGS = (
    "PATH", "_OPTIONS", "_OPTS", "_PRELOAD", "_LIBRARY", "_LIBRARIES", "_LIB", "_LIBS",
    "_PLUGIN", "_PLUGINS", "_MODULE", "_MODULES", "_STARTUP", "_CONF", "_CONFIG", "_RC",
    "_PROXY", "_COMMAND", "_SHELL", "_HOOK", "_HOOKS", "_ADDOPTS", "_FLAGS", "_INIT",
)  # fmt: skip

_SWITCH = re.compile(r"[01]").fullmatch
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII).fullmatch
_LOCALE = re.compile(r"[A-Za-z0-9_.@-]{1,40}", re.ASCII).fullmatch
# What a definition may set although the rule refuses the name, or its value may be anything else.
EXACT: Mapping[str, Callable[[str], object]] = {
    "NODE_COMPILE_CACHE": re.compile(r"/cache(?:/[A-Za-z0-9_-]{1,40}){0,3}", re.ASCII).fullmatch,
    "NODE_ENV": re.compile(r"[a-z]{1,20}", re.ASCII).fullmatch,
    "NODE_NO_WARNINGS": _SWITCH,
    "UV_THREADPOOL_SIZE": _COUNT,
    "PYTHONDONTWRITEBYTECODE": _SWITCH,
    "PYTHONFAULTHANDLER": _SWITCH,
    "PYTHONHASHSEED": re.compile(r"random|[0-9]{1,10}", re.ASCII).fullmatch,
    "PYTHONNODEBUGRANGES": _SWITCH,
    "PYTHONUNBUFFERED": _SWITCH,
    "PYTHONUTF8": _SWITCH,
    "STENCIL_PRELOAD": re.compile(r"[A-Za-z0-9_.]+(?: [A-Za-z0-9_.]+)*", re.ASCII).fullmatch,
    "STENCIL_TEST_STDIN": _SWITCH,
    "STENCIL_TEST_ROOT": _SWITCH,
    "STENCIL_CHANNEL": re.compile(r"[3-9]|[1-9][0-9]", re.ASCII).fullmatch,
    "LANG": _LOCALE,
    "LANGUAGE": _LOCALE,
    "TZ": re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,2}", re.ASCII).fullmatch,
}


def fault(name: str) -> str:
    """Return why foreign input may not set a variable, whatever its value; empty when it may."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or not NAME.fullmatch(name):
        return "is no name of a variable: letters, digits and _, and no digit first"
    if before_rights_are_dropped(name):
        return "is read by the loader, the C library or a shell"
    if _listed(name, OTHERS):
        return "is read by an interpreter, a shell, a tool or Stencil itself"
    return ""


def before_rights_are_dropped(name: str) -> bool:
    """Whether a variable acts on whatever program is started with it."""
    return _listed(name, LOADER) or not NAME.fullmatch(name)


def may_mean_ours(pattern: str) -> bool:
    """Whether a name, or a beginning of names with `*` after it, can mean one of OURS."""
    upper = pattern.upper()
    if not pattern.endswith("*"):
        return _listed(upper, OURS)
    beginning = upper[:-1]
    return _listed(beginning, OURS) or any(item.startswith(beginning) for item in OURS)


def definition_fault(name: str, value: str) -> str:
    """Return why `[env]` of a definition may not hold a variable; empty when it may."""
    if name in EXACT or name.startswith("LC_"):
        return _value_fault(value, EXACT.get(name, _LOCALE))
    upper = name.upper()
    reason = fault(name)
    if not reason and upper.endswith(ENDINGS):
        reason = "is named like a search path, an option or something to load"
    return reason or _value_fault(value, lambda _: True)


def check_definition(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (name, reason) of the first variable of `[env]` that is refused; None for none."""
    if len(env) > MAX_VARIABLES:
        return "", f"holds more than {MAX_VARIABLES} variables"
    for name, value in env.items():
        reason = definition_fault(name, value)
        if reason:
            return name[:MAX_NAME_BYTES], reason
    if sum(_size(name) + _size(value) for name, value in env.items()) > MAX_BYTES:
        return "", f"is larger than {MAX_BYTES} bytes"
    return None


def _value_fault(value: str, allowed: Callable[[str], object]) -> str:
    if "\0" in value:
        return "must not hold NUL"
    if _size(value) > MAX_VALUE_BYTES:
        return f"has a value of more than {MAX_VALUE_BYTES} bytes"
    return "" if allowed(value) else f"may not be {value[:60]!r}"


def _listed(name: str, names: tuple[str, ...]) -> bool:
    upper = name.upper()
    return any(
        upper.startswith(item[:-1]) if item.endswith("*") else upper == item for item in names
    )


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
