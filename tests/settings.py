"""Settings of the test run: the real settings with a temporary data directory."""

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="stencil-tests-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["STENCIL_DATA"] = _data
os.environ.setdefault("STENCIL_LOG_LEVEL", "WARNING")
os.environ["STENCIL_OIDC_ISSUER"] = "https://id.example.org"
os.environ["STENCIL_OIDC_CLIENT_ID"] = "stencil"

from webui.settings import *  # noqa: E402, F403 - the environment above must come first

STATIC_ROOT.mkdir()  # noqa: F405 - whitenoise warns when there is none
STORAGES = {
    **STORAGES,  # noqa: F405
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["TEST"] = {"NAME": f"{_data}/test.sqlite3"}  # noqa: F405
