"""Environment variables that untrusted input may set: one rule for definitions and clients.

`fault(name)` applies to both. It refuses names that the loader, the C library, an interpreter, a
shell, a TLS library, a package manager or Stencil reads, with any value. The check of client
variables calls it for each name. `check_definition` adds exceptions for definitions (EXACT, each
with its allowed values), refuses names that end like search paths or options, and limits the sizes.

`before_rights_are_dropped(name)` identifies variables that affect every program, including
Stencil's own programs that run before the runner starts. Versions that were built before this rule
run without these variables.
"""

import re
from collections.abc import Callable, Mapping

MAX_VARIABLES = 64
MAX_NAME_BYTES = 128
MAX_VALUE_BYTES = 4 * 1024
MAX_BYTES = 16 * 1024
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

# Names are compared case-insensitively, because programs read some of them in both cases
# (http_proxy, npm_config_…). A final star matches any suffix.
LOADER = (
    "LD_*", "GLIBC_*", "MALLOC_*", "DYLD_*", "_RLD*", "LIBPATH", "SHLIB_PATH", "GCONV_PATH",
    "GETCONF_DIR", "LOCPATH", "NLSPATH", "TZDIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS",
    "RESOLV_*", "NIS_PATH", "LIBC_*", "DATEMSK", "ARGP_*", "TMPDIR", "GCOV_*", "LLVM_PROFILE*",
    "ASAN_*", "LSAN_*", "MSAN_*", "TSAN_*", "UBSAN_*", "OPENSSL*", "SSL_*", "SSLKEYLOGFILE",
    "LIBSECCOMP*", "CAPNG_*", "PATH", "IFS", "ENV", "BASH_*", "BASHOPTS", "SHELLOPTS", "PS4",
    "LOCALE_ARCHIVE", "OSSL_*", "CTLOG_FILE", "RANDFILE", "QLOG*", "TEXTDOMAIN*", "OUTPUT_CHARSET",
)  # fmt: skip
OTHERS = (
    # Interpreters, libraries inside them, and tools that they load automatically.
    "_PYTHON*", "CARES_*", "ICU_*", "IPYTHON*", "JUPYTER*", "MATPLOTLIB*", "SETUPTOOLS_*",
    "DISTUTILS_*", "PYDEVD*", "DEBUGPY*", "BABEL_*", "MOCHA_*", "JEST_*", "C8_*", "NYC_*",
    "PYTHON*", "__PYVENV*", "PIP_*", "UV_*", "VIRTUAL_ENV*", "CONDA_*", "PYTEST*", "COVERAGE_*",
    "NODE_*", "NPM_*", "YARN_*", "PNPM_*", "BUN_*", "DENO_*", "TS_NODE*", "TSX_*", "ESBUILD_*",
    "NAPI_RS*", "SWC_*", "VITEST*", "VITE_NODE*", "COREPACK_*", "ELECTRON_*",
    "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "RAKEOPT", "JAVA*", "_JAVA*", "JDK_*", "JVM_*",
    "CLASSPATH", "MAVEN_*", "GRADLE_*", "KOTLIN_*", "SCALA_*", "GROOVY_*", "PHPRC", "PHP_*",
    "LUA_*", "TCL*", "TK_*", "JULIA_*", "R_*", "RSCRIPT*", "GUILE_*", "ERL_*", "ELIXIR_*",
    "GODEBUG", "GOFLAGS", "GOROOT", "GOENV", "GOTOOLCHAIN", "GOCOVERDIR", "GOTRACEBACK",
    "DOTNET_*", "COMPLUS_*", "CORECLR_*", "MONO_*", "RUSTC*", "CARGO_*", "GHC*", "AWKPATH",
    "AWKLIBPATH", "OMP_TOOL*", "MPLBACKEND", "MPLCONFIGDIR",
    # Shells.
    "BASH", "ZDOTDIR", "TMOUT", "EXECIGNORE", "FIGNORE", "FUNCNEST", "IGNOREEOF", "HOSTFILE",
    "TIMEFORMAT", "HISTCMD", "HISTCONTROL", "HISTIGNORE", "HISTSIZE", "HISTFILESIZE",
    "HISTTIMEFORMAT", "COMP_*", "READLINE_*", "NULLCMD", "READNULLCMD", "UID", "EUID", "PPID",
    "FPATH", "CDPATH", "GLOBIGNORE", "PROMPT_COMMAND", "PS0", "PS1", "PS2",
    "PS3", "KSH_*", "INPUTRC", "POSIXLY_CORRECT", "TERM", "TERMINFO*", "TERMCAP", "HISTFILE",
    "MAIL", "MAILPATH", "MAILCHECK", "OPTIND", "OPTARG",
    # Programs that other programs start; addresses, certificates and secrets.
    "SHELL", "EDITOR", "VISUAL", "FCEDIT", "PAGER", "MANPAGER", "MANOPT", "BROWSER", "VIM*",
    "EXINIT", "EMACS*", "RSYNC_*", "WGETRC", "NETRC", "GPG*", "GNUPGHOME", "SVN_*", "CVS*",
    "HGRCPATH", "GDB*", "DEBUGINFOD_*", "VALGRIND*", "GREP_*", "TAR_*", "GZIP", "XZ_*", "ZIPOPT",
    # Profilers and allocators that a program links.
    "HEAPPROFILE*", "HEAPCHECK*", "CPUPROFILE*", "TCMALLOC_*", "JEMALLOC_*", "_RJEM*", "MIMALLOC_*",
    "GIT_*", "SSH_*", "LESS", "LESSOPEN",
    "LESSCLOSE", "MANPATH", "CURL_*", "REQUESTS_*", "GNUTLS_*", "NSS_*", "KRB5*", "GSS_*",
    "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY", "AWS_*", "DBUS_*",
    "SYSTEMD_*", "NOTIFY_SOCKET", "LISTEN_*", "GIO_*", "GTK_*", "QT_*", "LIBGL_*", "CUDA_*",
    "OPENCL_*", "OCL_*", "VK_*",
    # Compilers.
    "CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH",
    "COMPILER_PATH", "GCC_*", "PKG_CONFIG*", "CFLAGS", "LDFLAGS", "MAKE*", "GNUMAKEFLAGS",
    # Folders, users, Stencil and its servers.
    "HOME", "USER", "LOGNAME", "PWD", "OLDPWD", "TMP", "TEMP", "XDG_*", "STENCIL*", "DJANGO_*",
    "GUNICORN_*", "BWRAP*", "SUDO_*",
)  # fmt: skip
# Variables that `[variables]` may not let a client set before the runner starts.
OURS = (
    "LD_*", "GLIBC_*", "MALLOC_*", "GCONV_PATH", "LOCPATH", "PATH", "HOME", "PWD", "STENCIL*",
)  # fmt: skip
# In a definition, a name with one of these suffixes is refused: in most tools it is a search path,
# an option or a module to load.
SUFFIXES = (
    "PATH", "_OPTIONS", "_OPTS", "_PRELOAD", "_LIBRARY", "_LIBRARIES", "_LIB", "_LIBS",
    "_PLUGIN", "_PLUGINS", "_MODULE", "_MODULES", "_STARTUP", "_CONF", "_CONFIG", "_RC",
    "_PROXY", "_COMMAND", "_SHELL", "_HOOK", "_HOOKS", "_ADDOPTS", "_FLAGS", "_INIT",
)  # fmt: skip

_SWITCH = re.compile(r"[01]").fullmatch
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII).fullmatch
_LOCALE = re.compile(r"[A-Za-z0-9_.@-]{1,40}", re.ASCII).fullmatch
# Variables that a definition may set, each with its allowed values. `fault` refuses most of them.
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
    """Return why untrusted input may not set a variable; empty if it may."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or not NAME.fullmatch(name):
        return "is not a valid name of a variable: use letters, digits and _, no digit first"
    if before_rights_are_dropped(name):
        return "is read by the loader, the C library or a shell"
    if _listed(name, OTHERS):
        return "is read by an interpreter, a shell, a tool or Stencil itself"
    return ""


def before_rights_are_dropped(name: str) -> bool:
    """Return whether a variable affects every program, or has an invalid name."""
    return _listed(name, LOADER) or not NAME.fullmatch(name)


def may_mean_ours(pattern: str) -> bool:
    """Return whether a name, or a prefix followed by `*`, can match a name in OURS."""
    upper = pattern.upper()
    if not pattern.endswith("*"):
        return _listed(upper, OURS)
    beginning = upper[:-1]
    return _listed(beginning, OURS) or any(item.startswith(beginning) for item in OURS)


def definition_fault(name: str, value: str) -> str:
    """Return why `[env]` of a definition may not set a variable; empty if it may."""
    if name in EXACT or (name.startswith("LC_") and not fault(name)):
        return _value_fault(value, EXACT.get(name, _LOCALE))
    upper = name.upper()
    reason = fault(name)
    if not reason and upper.endswith(SUFFIXES):
        reason = "is named like a search path, an option or something to load"
    return reason or _value_fault(value, lambda _: True)


def check_definition(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (name, reason) of the first fault of `[env]`, or None.

    The name is empty if the fault is the number or the total size of the variables.
    """
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
