"""Settings of an executor that a test starts as a process of its own, on the test's database."""

import os

from webui.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = os.environ["STENCIL_TEST_DATABASE"]  # noqa: F405
ROOT_URLCONF = "execapp.api.urls"
