"""Django's settings, from the environment.

DATABASE_URL           sqlite:///FILE or postgresql://…   (default: pilotext.sqlite3 here)
PILOTEXT_SECRET_KEY    signs sessions of the pages; without it, everybody is logged out by a restart
PILOTEXT_PUBLIC_URL    where agents and workers reach this server   (default: http://127.0.0.1:8080)
PILOTEXT_HOSTS         host names that the pages answer to, separated by commas (default: localhost)
PILOTEXT_TRUSTED_PROXIES  addresses and networks of proxies whose X-Forwarded-For is believed (default: none)
PILOTEXT_REMOTE_USER_HEADER  header by which a single sign-on proxy names who has logged in, such as X-Remote-User
                       (default: none, and nobody is logged in like this)
PILOTEXT_REMOTE_USER_PROXIES  addresses and networks of the proxies whose header is believed (default: none)
PILOTEXT_CERTIFICATE_HEADER  header by which a proxy that has verified a client certificate gives its subject, such as
                       X-Client-Subject; X-Client-Verify must be SUCCESS beside it
                       (default: none, and nobody is logged in like this)
PILOTEXT_CERTIFICATE_PROXIES  addresses and networks of the proxies whose header is believed (default: none)
PILOTEXT_CREDENTIAL_KINDS  proxy, token or both: what storage asks this server for; no transfer begins with one that
                       ends before it does (default: none is watched)
PILOTEXT_CREDENTIAL_REFRESH  command that renews them (default: none)
PILOTEXT_LISTABLE_FOLDERS  folders of the server's own disk, separated by colons, that tasks may list (default: none)
PILOTEXT_LEASE_S       seconds without a heartbeat after which an attempt is lost (default: 3600)
PILOTEXT_PILOT_LEASE_S the same for attempts of PanDA pilots (default: 7200)
PILOTEXT_REPORT_GRACE_S  seconds that a report may come after its pilot's last word (default: 60)
PILOTEXT_VERIFY_OUTPUTS  no: reported successes are believed without comparing their published files, for servers that
                       cannot reach the storage (default: yes)
PILOTEXT_NOTICE_FAILURES  failed attempts of a task by one cause within an hour that have a notice (default: 20)
PILOTEXT_WEBHOOKS      addresses that get notices as JSON by POST, separated by blanks (default: none)
PILOTEXT_WEBHOOK_SECRET  signs what they get: X-Pilotext-Signature is its HMAC (default: none)
PILOTEXT_MAIL_TO       addresses that get notices as mails, separated by commas (default: none)
PILOTEXT_MAIL_FROM     the sender of these mails (default: pilotext@ and the host of PILOTEXT_PUBLIC_URL)
PILOTEXT_MAIL_SERVER   host:port that takes mails (default: localhost:25)
PILOTEXT_MAIL_TLS      no, starttls, or tls from the first byte on (default: no)
PILOTEXT_MAIL_USER, PILOTEXT_MAIL_PASSWORD  login at that server (default: none)
PILOTEXT_MAIL_EVERY_S  seconds from one mail to the next, which has all since (default: 3600)
PILOTEXT_LOG_LEVEL     from which level on something stands in the logs: DEBUG, INFO, WARNING, ERROR (default: INFO)
PILOTEXT_THREADS       threads that answer requests; `pilotext server` sets it from its option --threads (default: 64)
PILOTEXT_PANDA_MONITOR address of a PanDA monitor, for links to its tasks and jobs (default: none)
PILOTEXT_TRF_URL       what PanDA pilots take for the transformation (default: /trf/pilotext-trf of this server)
"""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from pilotext.server.database import database_settings, url_from_environment
from pilotext.server.front.address import trusted_networks
from pilotext.server.notice_settings import mail_addresses, mail_sender, server_and_port, tls_of_mails, webhook_urls
from pilotext.storage.credentials import credential_settings

PUBLIC_URL = os.environ.get("PILOTEXT_PUBLIC_URL", "http://127.0.0.1:8080").rstrip("/")
CREDENTIALS = credential_settings(os.environ)
LEASE_S = float(os.environ.get("PILOTEXT_LEASE_S", "3600"))
PILOT_LEASE_S = float(os.environ.get("PILOTEXT_PILOT_LEASE_S", "7200"))  # a pilot is heard of every half hour
REPORT_GRACE_S = float(os.environ.get("PILOTEXT_REPORT_GRACE_S", "60"))
VERIFY_OUTPUTS = os.environ.get("PILOTEXT_VERIFY_OUTPUTS", "yes") != "no"
NOTICE_FAILURES = int(os.environ.get("PILOTEXT_NOTICE_FAILURES", "20"))
WEBHOOKS = webhook_urls(os.environ.get("PILOTEXT_WEBHOOKS", ""))
WEBHOOK_SECRET = os.environ.get("PILOTEXT_WEBHOOK_SECRET", "")
MAIL_TO = mail_addresses(os.environ.get("PILOTEXT_MAIL_TO", ""))
MAIL_FROM = mail_sender(os.environ.get("PILOTEXT_MAIL_FROM") or f"pilotext@{urlsplit(PUBLIC_URL).hostname}")
MAIL_SERVER = server_and_port(os.environ.get("PILOTEXT_MAIL_SERVER") or "localhost:25")
MAIL_TLS = tls_of_mails(os.environ.get("PILOTEXT_MAIL_TLS") or "no")
MAIL_USER = os.environ.get("PILOTEXT_MAIL_USER", "")
MAIL_PASSWORD = os.environ.get("PILOTEXT_MAIL_PASSWORD", "")
MAIL_EVERY_S = float(os.environ.get("PILOTEXT_MAIL_EVERY_S", "3600"))
TRF_URL = os.environ.get("PILOTEXT_TRF_URL") or f"{PUBLIC_URL}/trf/pilotext-trf"
PANDA_MONITOR = os.environ.get("PILOTEXT_PANDA_MONITOR", "").rstrip("/")
REMOTE_USER_HEADER = os.environ.get("PILOTEXT_REMOTE_USER_HEADER", "")
REMOTE_USER_PROXIES = trusted_networks(
    os.environ.get("PILOTEXT_REMOTE_USER_PROXIES", ""), "PILOTEXT_REMOTE_USER_PROXIES"
)
CERTIFICATE_HEADER = os.environ.get("PILOTEXT_CERTIFICATE_HEADER", "")
CERTIFICATE_PROXIES = trusted_networks(
    os.environ.get("PILOTEXT_CERTIFICATE_PROXIES", ""), "PILOTEXT_CERTIFICATE_PROXIES"
)
_SECURE = PUBLIC_URL.startswith("https:")

SECRET_KEY = os.environ.get("PILOTEXT_SECRET_KEY") or secrets.token_urlsafe(48)
DEBUG = False
ALLOWED_HOSTS = [
    *(os.environ.get("PILOTEXT_HOSTS", "localhost,127.0.0.1,[::1]").split(",")),
    urlsplit(PUBLIC_URL).hostname or "localhost",
]
CSRF_TRUSTED_ORIGINS = ["{0.scheme}://{0.netloc}".format(urlsplit(PUBLIC_URL))]  # also behind a proxy that ends TLS
INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "pilotext.server.production",
    "pilotext.server.pages",
]
MIDDLEWARE = [
    "pilotext.server.api.metrics.counting",
    "pilotext.server.api.former_clients.answer_as_before",
    "pilotext.server.middleware.PagesMiddleware",
]
PAGE_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pilotext.server.single_sign_on.remote_user",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
SILENCED_SYSTEM_CHECKS = ["admin.E408", "admin.E409", "admin.E410"]  # sought in MIDDLEWARE; PAGE_MIDDLEWARE has them
AUTHENTICATION_BACKENDS = ["pilotext.server.logins.LimitedBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "UserAttributeSimilarityValidator")
]
ROOT_URLCONF = "pilotext.server.urls"
DATABASES = {"default": database_settings(url_from_environment())}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

_API_FRAMEWORK = Path(str(getattr(find_spec("dmr"), "origin", ""))).parent
"""Its templates and files are for the page of the API's documentation. As an app, every command would import it."""

STATICFILES_DIRS = [_API_FRAMEWORK / "static"]
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # files of the pages are served from the package; nothing is collected
SESSION_COOKIE_SECURE = _SECURE
CSRF_COOKIE_SECURE = _SECURE
CSRF_FAILURE_VIEW = "pilotext.server.pages.access.csrf_refused"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_HSTS_SECONDS = 31_536_000 if _SECURE else 0
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # the HTTP front bounds every body by its address
APPEND_SLASH = False
X_FRAME_OPTIONS = "DENY"
LOGGING_CONFIG = None  # pilotext.server.logs does it
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_API_FRAMEWORK / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pilotext.server.pages.context.navigation",
                "pilotext.server.pages.context.refreshing",
            ]
        },
    }
]
