"""The WSGI application that the web server serves."""

import os

from django.core.wsgi import get_wsgi_application

os.umask(0o077)  # as in manage.py: nobody else reads a file that we make
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webui.settings")

application = get_wsgi_application()
