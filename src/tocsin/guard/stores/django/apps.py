"""The app that brings the migration: INSTALLED_APPS += ["tocsin.guard.stores.django"]."""

from django.apps import AppConfig


class TocsinGuard(AppConfig):  # type: ignore[misc]  # Django has no types
    """No models: the tables are those that services on other frameworks and in other languages share."""

    name = "tocsin.guard.stores.django"
    label = "tocsin_guard"
    verbose_name = "Tocsin guard"
