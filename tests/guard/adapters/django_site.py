"""Django, set up once for all tests of this process: each request names the URLs that it wants.

To be imported before anything of REST framework's, which reads the settings when it is imported.
"""

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from tests.guard.adapters.service import Refusal

URLCONF = "shop.urlconf"


class Shops(MiddlewareMixin):  # type: ignore[misc]  # Django has no types
    """The request's own URLs; and an answer to what a shop refuses in Django's way, by an exception of its own."""

    def process_request(self, request: HttpRequest) -> None:
        request.urlconf = getattr(request, "scope", request.META)[URLCONF]

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse | None:
        return HttpResponse("busy", status=error.status) if isinstance(error, Refusal) else None


if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEBUG_PROPAGATE_EXCEPTIONS=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "tocsin.guard.stores.django"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[f"{__name__}.Shops", "django.middleware.csrf.CsrfViewMiddleware"],
        ROOT_URLCONF=None,
        SECRET_KEY="of the tests",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    django.setup()
