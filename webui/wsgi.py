"""The WSGI application that the web server serves."""

import os

import django

os.umask(0o077)  # as in manage.py: no other user can read the files that Stencil makes
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webui.settings")
django.setup(set_prefix=False)

from webui.server.wsgi_handler import Handler  # noqa: E402 - it needs Django's settings

application = Handler()
