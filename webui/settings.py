"""Settings, all from the environment. A missing secret or a bad value stops the start.

The default is development, where the secret key is made once and kept in `STENCIL_DATA`.
`STENCIL_ENV=production` requires every secret to be given.
`docs/reference/settings.md` lists each variable with its default.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from execapp import doors
from templatemgr.definitions.readers import rules
from webui import environment

BASE_DIR = Path(__file__).resolve().parent.parent


STENCIL_ENV = environment.choice("STENCIL_ENV", "development", ("development", "production"))
PRODUCTION = STENCIL_ENV == "production"

STENCIL_DATA = Path(os.environ.get("STENCIL_DATA") or BASE_DIR / "var").resolve()
STENCIL_DEFINITIONS = Path(
    os.environ.get("STENCIL_DEFINITIONS")
    or BASE_DIR / ("dist/templates" if PRODUCTION else "templates_runtime")
).resolve()
STENCIL_HOST = os.environ.get("STENCIL_HOST", "127.0.0.1")
STENCIL_PORT = environment.number("STENCIL_PORT", 8000, least=1)
STENCIL_SLOTS = environment.number("STENCIL_SLOTS", len(os.sched_getaffinity(0)), least=1)
STENCIL_MOST_RUNNING = environment.number("STENCIL_MOST_RUNNING", 0)  # 0: 32 a slot
STENCIL_CLIENT_SLOTS = environment.number("STENCIL_CLIENT_SLOTS", 0)
STENCIL_WARM = environment.number("STENCIL_WARM", 4 * STENCIL_SLOTS)
_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
# Limits, not use: programs use a part of their limits, and admission also reads what is available.
STENCIL_RUNNING_BYTES = environment.number("STENCIL_RUNNING_BYTES", 2 * _MEMORY)
STENCIL_EXCLUSIVE = environment.items("STENCIL_EXCLUSIVE")
STENCIL_WARM_BYTES = environment.number("STENCIL_WARM_BYTES", _MEMORY // 4)
STENCIL_BUILDS = environment.number("STENCIL_BUILDS", 2, least=1)
STENCIL_ENGINE = os.environ.get("STENCIL_ENGINE") or "local"
STENCIL_GRACE_SECONDS = environment.number("STENCIL_GRACE_SECONDS", 20)
STENCIL_QUEUE_LIMIT = environment.number("STENCIL_QUEUE_LIMIT", 1000, least=1)
# Hours between verifications: of current, previous and pinned versions, and of the rest. 0: never.
STENCIL_VERIFY_HOURS = environment.number("STENCIL_VERIFY_HOURS", 24)
STENCIL_VERIFY_ALL_HOURS = environment.number("STENCIL_VERIFY_ALL_HOURS", 7 * 24)
STENCIL_HEAL = environment.choice("STENCIL_HEAL", "on", ("on", "off")) == "on"
# The bytes that one token, or one user of the playground, may store in a day (UTC), and the disk
# space that must stay free. 0: no limit.
STENCIL_CLIENT_BYTES_PER_DAY = environment.number("STENCIL_CLIENT_BYTES_PER_DAY", 10 * 1024**3)
STENCIL_FREE_BYTES = environment.number("STENCIL_FREE_BYTES", 1024**3)
STENCIL_RATE_PER_MINUTE = environment.number("STENCIL_RATE_PER_MINUTE", 30_000)
# For tokens without limits of their own (decision 0042). 0: no limit.
STENCIL_TOKEN_OPEN_EXECUTIONS = environment.number("STENCIL_TOKEN_OPEN_EXECUTIONS", 0)
STENCIL_TOKEN_CPU_SECONDS_PER_DAY = environment.number("STENCIL_TOKEN_CPU_SECONDS_PER_DAY", 0)
# Callbacks: how many attempts run at a time, their time-out, the pauses before the next ones (a day
# in all), the networks that are reachable although they are not public, and their retention.
STENCIL_CALLBACKS = environment.number("STENCIL_CALLBACKS", 16, least=1)
STENCIL_CALLBACK_SECONDS = environment.number("STENCIL_CALLBACK_SECONDS", 10, least=1)
STENCIL_CALLBACK_RETRY_SECONDS = environment.numbers(
    "STENCIL_CALLBACK_RETRY_SECONDS",
    "10,30,60,300,900,1800,3600,7200,14400,21600,36000",
)
STENCIL_CALLBACK_NETWORKS = environment.networks("STENCIL_CALLBACK_NETWORKS")
STENCIL_CALLBACK_DAYS = environment.number("STENCIL_CALLBACK_DAYS", 30)
STENCIL_USAGE_DAYS = environment.number("STENCIL_USAGE_DAYS", 400)
STENCIL_BUILD_BYTES = environment.number("STENCIL_BUILD_BYTES", 8 * 1024**3, least=1)
STENCIL_FETCH_HOSTS = tuple(environment.items("STENCIL_FETCH_HOSTS"))
STENCIL_START_FILES = tuple(environment.items("STENCIL_START_FILES"))
STENCIL_DOWNLOAD_BYTES = environment.number("STENCIL_DOWNLOAD_BYTES", 2 * 1024**3)
# The operator's rules for all definitions on this machine.
STENCIL_PACKAGE_SOURCES = environment.items("STENCIL_PACKAGE_SOURCES")
if _unknown := set(STENCIL_PACKAGE_SOURCES) - set(rules.KINDS):
    message = (
        f"STENCIL_PACKAGE_SOURCES: {', '.join(sorted(_unknown))}: of {', '.join(rules.KINDS)}."
    )
    raise ImproperlyConfigured(message)
STENCIL_LOCK_REGISTRIES = environment.items("STENCIL_LOCK_REGISTRIES")
_CEILINGS = rules.Ceilings()
STENCIL_CEILING_WALL_MS = environment.number("STENCIL_CEILING_WALL_MS", _CEILINGS.wall_ms, least=1)
STENCIL_CEILING_CPU_MS = environment.number("STENCIL_CEILING_CPU_MS", _CEILINGS.cpu_ms, least=1)
STENCIL_CEILING_MEMORY_BYTES = environment.number(
    "STENCIL_CEILING_MEMORY_BYTES", _CEILINGS.memory_bytes, least=1
)
STENCIL_CEILING_DISK_BYTES = environment.number(
    "STENCIL_CEILING_DISK_BYTES", _CEILINGS.disk_bytes, least=1
)
STENCIL_CEILING_OUTPUT_BYTES = environment.number(
    "STENCIL_CEILING_OUTPUT_BYTES", _CEILINGS.output_bytes, least=1
)
STENCIL_CEILING_PROCESSES = environment.number(
    "STENCIL_CEILING_PROCESSES", _CEILINGS.processes, least=1
)
STENCIL_MAX_FILES = environment.number("STENCIL_MAX_FILES", 1_000, least=1)
STENCIL_MAX_ARGS = environment.number("STENCIL_MAX_ARGS", 256)
STENCIL_MAX_ARG_BYTES = environment.number("STENCIL_MAX_ARG_BYTES", 32 * 1024)
STENCIL_MAX_ENV = environment.number("STENCIL_MAX_ENV", 64)
STENCIL_MAX_ENV_BYTES = environment.number("STENCIL_MAX_ENV_BYTES", 8 * 1024)
STENCIL_MAX_STDIN_BYTES = environment.number("STENCIL_MAX_STDIN_BYTES", 4 * 1024 * 1024)
STENCIL_MAX_CASES = environment.number("STENCIL_MAX_CASES", 1_000, least=1)
STENCIL_MAX_COLLECT_PATTERNS = environment.number("STENCIL_MAX_COLLECT_PATTERNS", 32, least=1)
STENCIL_MAX_COLLECT_FILES = environment.number("STENCIL_MAX_COLLECT_FILES", 64, least=1)
STENCIL_MAX_COLLECT_BYTES = environment.number("STENCIL_MAX_COLLECT_BYTES", 10 * 1024**2, least=1)
STENCIL_COLLECT_SECONDS = environment.number("STENCIL_COLLECT_SECONDS", 5, least=1)
STENCIL_MAX_LABELS = environment.number("STENCIL_MAX_LABELS", 16)
STENCIL_MAX_LABEL_BYTES = environment.number("STENCIL_MAX_LABEL_BYTES", 256, least=1)
STENCIL_MAX_WAIT_SECONDS = environment.number("STENCIL_MAX_WAIT_SECONDS", 60)
# The web server's bounds: requests that wait and stream, connections, and how long they may take.
STENCIL_WAITS = environment.number("STENCIL_WAITS", 4_000, least=1)
STENCIL_CLIENT_WAITS = environment.number("STENCIL_CLIENT_WAITS", 1_000, least=1)
STENCIL_STREAMS = environment.number("STENCIL_STREAMS", 200, least=1)
STENCIL_CLIENT_STREAMS = environment.number("STENCIL_CLIENT_STREAMS", 20, least=1)
STENCIL_CONNECTIONS = environment.number("STENCIL_CONNECTIONS", 8_000, least=64)
STENCIL_HEADER_SECONDS = environment.number("STENCIL_HEADER_SECONDS", 10, least=1)
STENCIL_BODY_SECONDS = environment.number("STENCIL_BODY_SECONDS", 30, least=1)
STENCIL_IDLE_SECONDS = environment.number("STENCIL_IDLE_SECONDS", 75, least=1)
STENCIL_DOORS = tuple(environment.items("STENCIL_DOORS", ",".join(doors.NAMES)))
if _unknown := set(STENCIL_DOORS) - set(doors.NAMES):
    message = f"STENCIL_DOORS: {', '.join(sorted(_unknown))}: of {', '.join(doors.NAMES)}."
    raise ImproperlyConfigured(message)
STENCIL_JUDGE0_LANGUAGES = environment.numbered_names(
    "STENCIL_JUDGE0_LANGUAGES",
    "63=javascript,93=javascript,97=javascript,102=javascript,"
    "74=typescript,94=typescript,101=typescript,"
    "71=python,92=python,100=python,109=python,113=python,"
    "10=python,33=python",  # Judge0 Extra CE: Python with packages for data,
)
# The first characters of the token that requests without a token get at the Piston door.
STENCIL_PISTON_ANONYMOUS = os.environ.get("STENCIL_PISTON_ANONYMOUS", "").strip()
STENCIL_SANDBOX = environment.choice("STENCIL_SANDBOX", "bubblewrap", ("bubblewrap", "none"))

DEBUG = False
SECRET_KEY = environment.secret_key(STENCIL_DATA, production=PRODUCTION)
ALLOWED_HOSTS = environment.items("STENCIL_ALLOWED_HOSTS", "" if PRODUCTION else "*")
CSRF_TRUSTED_ORIGINS = environment.items("STENCIL_TRUSTED_ORIGINS")
STENCIL_HTTPS = environment.choice("STENCIL_HTTPS", "1" if PRODUCTION else "0", ("0", "1")) == "1"
STENCIL_PROXIES = environment.proxies()

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "templatemgr",
    "execapp",
    "webui",
    "benchmarks",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    # First, so that the others see the client's own address and scheme.
    "webui.middleware.forwarded.Middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "webui.middleware.limits.limit",  # before anything reads a body, a cookie or the database
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "webui.middleware.caching.Middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "webui.urls"
WSGI_APPLICATION = "webui.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Each page family has its own templates. They replace those of allauth.
        "DIRS": sorted((BASE_DIR / "webui").glob("*/templates")),
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webui.shell.context_processors.may",
                "webui.shell.context_processors.shell",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": STENCIL_DATA / "db.sqlite3",
        # Opening SQLite and setting its pragmas takes longer than most queries.
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # recursive_triggers: without it INSERT OR REPLACE bypasses the triggers that refuse
            # UPDATE and DELETE on append-only tables.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
                "PRAGMA recursive_triggers=ON; PRAGMA foreign_keys=ON;"
            ),
        },
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Sign-in. One backend only: Django asks every backend for a permission that the user lacks.
AUTHENTICATION_BACKENDS = ["webui.signin.backend.Backend"]
LOGIN_URL = LOGOUT_REDIRECT_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
STENCIL_FRESH_SIGNIN_SECONDS = environment.number("STENCIL_FRESH_SIGNIN_SECONDS", 0)
STENCIL_SIGNUP = environment.choice("STENCIL_SIGNUP", "0", ("0", "1")) == "1"
STENCIL_LOCKOUT_FAILURES = environment.number("STENCIL_LOCKOUT_FAILURES", 5, least=1)
STENCIL_LOCKOUT_SECONDS = environment.number("STENCIL_LOCKOUT_SECONDS", 300, least=1)
ACCOUNT_ADAPTER = "webui.signin.adapters.AccountAdapter"
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if STENCIL_HTTPS else "http"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_RATE_LIMITS = {
    # Per address, and per user name from all addresses.
    "login_failed": f"20/m/ip,{STENCIL_LOCKOUT_FAILURES}/{STENCIL_LOCKOUT_SECONDS}s/key",
}
ACCOUNT_REAUTHENTICATION_TIMEOUT = STENCIL_FRESH_SIGNIN_SECONDS or 300
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # Stencil sends no mail, so it never verifies an address
MFA_FORMS = {
    "authenticate": "webui.signin.forms.AuthenticateForm",
    "reauthenticate": "webui.signin.forms.ReauthenticateForm",
    "add_webauthn": "webui.signin.forms.AddWebAuthnForm",
    "authenticate_webauthn": "webui.signin.forms.AuthenticateWebAuthnForm",
    "login_webauthn": "webui.signin.forms.LoginWebAuthnForm",
    "reauthenticate_webauthn": "webui.signin.forms.ReauthenticateWebAuthnForm",
}
MFA_TOTP_ISSUER = "Stencil"
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be 30 s off
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not STENCIL_HTTPS  # browsers allow http only on localhost

# Failed sign-ins are counted in the database: the count outlives a restart, and every process
# and machine sees the same one. Sign-in and the system page use the cache; the API never does.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "stencil_cache",
        # A full cache drops a third of its entries. The limit is high, so that failures under many
        # names do not push out the count of failures under one name.
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATIC_ROOT = STENCIL_DATA / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Files of executions, by digest: a file of the same name has the same content. Decision 0047.
    "collected": {
        "BACKEND": "execapp.file_storage.DataFolderStorage",
        "OPTIONS": {"folder": "collected"},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SECURE_CSP: dict[str, list[str]] = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "webui.shell.error_pages.csrf_failure"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = STENCIL_HTTPS
# The time for which a browser that used https uses only https. Sent only over https.
SECURE_HSTS_SECONDS = environment.number("STENCIL_HSTS_SECONDS", 31_536_000 if STENCIL_HTTPS else 0)

# One OpenID Connect provider, when STENCIL_OIDC_ISSUER names it.
STENCIL_OIDC_ISSUER = os.environ.get("STENCIL_OIDC_ISSUER", "").rstrip("/")
STENCIL_OIDC_SIGNUP = environment.choice("STENCIL_OIDC_SIGNUP", "0", ("0", "1")) == "1"
STENCIL_OIDC_ROLE = environment.choice(
    "STENCIL_OIDC_ROLE", "viewer", ("none", "viewer", "operator")
)
if STENCIL_OIDC_ISSUER:
    INSTALLED_APPS += ["allauth.socialaccount", "allauth.socialaccount.providers.openid_connect"]
    SOCIALACCOUNT_ADAPTER = "webui.signin.oidc.OidcAdapter"
    SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {
            "OAUTH_PKCE_ENABLED": True,
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": os.environ.get("STENCIL_OIDC_NAME", "single sign-on"),
                    "client_id": environment.required(
                        "STENCIL_OIDC_CLIENT_ID", "STENCIL_OIDC_ISSUER"
                    ),
                    "secret": os.environ.get("STENCIL_OIDC_CLIENT_SECRET", ""),
                    "settings": {"server_url": STENCIL_OIDC_ISSUER},
                }
            ],
        }
    }
    # The reply to the form that starts it is a redirect, and the policy covers redirects, too.
    SECURE_CSP["form-action"].append(environment.origin("STENCIL_OIDC_ISSUER"))

# The API's own limit is 10 MB; anything larger is refused before it is read into memory.
DATA_UPLOAD_MAX_MEMORY_SIZE = environment.number("STENCIL_BODY_BYTES", 10_000_000, least=1024)
DATA_UPLOAD_MAX_NUMBER_FIELDS = (
    1_000  # of a form; query strings have a limit in webui.middleware.limits
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("STENCIL_LOG_LEVEL", "INFO")},
}
