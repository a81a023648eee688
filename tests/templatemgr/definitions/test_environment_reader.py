"""Test which variables definitions and clients may set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from templatemgr.definitions.readers import environment

REFUSED = [
    "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "ld_preload", "GLIBC_TUNABLES", "GCONV_PATH",
    "LOCPATH", "MALLOC_CHECK_", "NLSPATH", "TZDIR", "HOSTALIASES", "TMPDIR", "PATH", "Path",
    "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT", "PYTHONWARNINGS",
    "PYTEST_PLUGINS",
    "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "node_options", "npm_config_git",
    "NAPI_RS_NATIVE_LIBRARY_PATH", "ESBUILD_BINARY_PATH", "PERL5LIB", "PERL5OPT", "RUBYOPT",
    "RUBYLIB", "GEM_HOME", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH",
    "BASH_ENV", "ENV", "BASH_FUNC_x", "SHELLOPTS", "BASHOPTS", "PS4", "IFS", "CDPATH", "ZDOTDIR",
    "OPENSSL_CONF", "OPENSSL_MODULES", "SSL_CERT_FILE", "SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE",
    "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "GIT_SSH_COMMAND", "EDITOR", "PAGER", "BROWSER",
    "STENCIL_DATA", "STENCIL_MODE", "HOME", "XDG_CONFIG_HOME", "DOTNET_STARTUP_HOOKS", "LUA_INIT",
    "PHPRC", "GODEBUG", "OMP_TOOL_LIBRARIES", "ASAN_OPTIONS", "AWKPATH", "COREPACK_ROOT",
    "TCLLIBPATH", "R_PROFILE", "JULIA_LOAD_PATH", "GIO_EXTRA_MODULES", "KRB5_CONFIG",
    "_PYTHON_SYSCONFIGDATA_NAME", "_PYTHON_PROJECT_BASE", "CARES_HOSTS", "ICU_DATA", "QLOGDIR",
    "OSSL_QFILTER", "CTLOG_FILE", "RANDFILE", "TMOUT", "EXECIGNORE", "MAKEFILES", "GNUMAKEFLAGS",
    "VIMINIT", "EXINIT", "IPYTHONDIR", "MATPLOTLIBRC", "SETUPTOOLS_USE_DISTUTILS", "RSYNC_RSH",
    "MANPAGER", "WGETRC", "NETRC", "HEAPPROFILE", "TEXTDOMAINDIR", "HISTFILE", "MIMALLOC_VERBOSE",
    "LC_ x()%%", "LC_\n", "LC_A=B",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_other_programs_read_are_refused(name: str) -> None:
    assert environment.fault(name)
    assert environment.definition_fault(name, "1")


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "A\0", "A" * 129])
def test_malformed_names_are_refused(name: str) -> None:
    assert environment.fault(name)


@pytest.mark.parametrize("name", ["GREETING", "OPENBLAS_NUM_THREADS", "NODES", "HISTORY", "PSALM",
                                  "LESSON", "APP_MODE", "DEBUG", "FORCE_COLOR"])  # fmt: skip
def test_names_that_no_program_reads_are_allowed(name: str) -> None:
    assert environment.fault(name) == ""
    assert environment.definition_fault(name, "anything at all") == ""


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("NODE_COMPILE_CACHE", "/cache/v8", "/template/x"),
        ("NODE_COMPILE_CACHE", "/cache", "/cache/../template"),
        ("STENCIL_PRELOAD", "numpy pandas.core", "numpy;import os"),
        ("STENCIL_CHANNEL", "16", "100"),
        ("STENCIL_CHANNEL", "3", "2"),
        ("PYTHONHASHSEED", "0", "x"),
        ("PYTHONUTF8", "1", "2"),
        ("NODE_ENV", "production", "../x"),
        ("TZ", "Europe/Vienna", ":/etc/passwd"),
        ("TZ", "UTC", "/etc/passwd"),
        ("LANG", "C.UTF-8", "../../x"),
        ("LC_ALL", "de_AT.UTF-8@euro", "a/b"),
        ("UV_THREADPOOL_SIZE", "4", "-1"),
    ],
)
def test_exceptions_have_rules_for_their_values(name: str, good: str, bad: str) -> None:
    assert environment.definition_fault(name, good) == ""
    assert environment.definition_fault(name, bad)
    assert environment.definition_fault(name, good + "\n")


@pytest.mark.parametrize("name", ["TOOL_PATH", "XPATH", "THING_OPTIONS", "A_PRELOAD", "B_PLUGINS",
                                  "MY_STARTUP", "SOME_PROXY"])  # fmt: skip
def test_names_like_search_paths_are_allowed_to_clients_but_not_to_definitions(name: str) -> None:
    assert environment.fault(name) == ""
    assert environment.definition_fault(name, "x")


def test_numbers_and_sizes_are_bounded() -> None:
    assert environment.check_definition({"A": "x"}) is None
    assert environment.check_definition({"A": "x\0"}) == ("A", "must not hold NUL")
    assert environment.check_definition({"A": "x" * 5000})
    assert environment.check_definition({f"A{i}": "x" * 4000 for i in range(5)})
    assert environment.check_definition({f"A{i}": "" for i in range(65)})


def test_only_some_variables_act_before_rights_are_dropped() -> None:
    assert environment.before_rights_are_dropped("LD_PRELOAD")
    assert environment.before_rights_are_dropped("BASH_FUNC_ls%%")
    assert environment.before_rights_are_dropped("OPENSSL_CONF")
    assert not environment.before_rights_are_dropped("NODE_OPTIONS")
    assert not environment.before_rights_are_dropped("GREETING")


@given(st.text(max_size=20))
def test_each_allowed_name_is_an_identifier(name: str) -> None:
    if not environment.fault(name):
        assert name.isascii()
        assert name.isidentifier()
