"""The WSGI application that the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

os.umask(0o077)  # as in manage.py: no other user can read the files that Stencil makes
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webui.settings")

application = get_wsgi_application()
