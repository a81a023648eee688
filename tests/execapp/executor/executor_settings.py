"""Settings of an executor process that a test starts on its own database."""

import os

from webui.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = os.environ["STENCIL_TEST_DATABASE"]  # noqa: F405
ROOT_URLCONF = "execapp.api.urls"
