"""Collect the secrets in the configuration of npm and pip for the redactor."""

from collections.abc import Mapping

from templatemgr import redaction
from templatemgr.builders.npm import npm_config
from templatemgr.builders.pip import pip_config
from templatemgr.redaction import Redactor


def redactor(environ: Mapping[str, str]) -> Redactor:
    """Return a redactor for the secrets of this machine's npm, pip, netrc and proxies.

    Skip files that cannot be read: no step can read them either.
    """
    npm = (npm_config.user_file(environ), npm_config.global_file(environ))
    paths = (*npm, *pip_config.files(environ))
    return redaction.of_machine(environ, redaction.files_of(environ, paths))
