"""Django and Django REST framework: translates requests and responses, and decides nothing.

    @guard.django(key=json_pointer("/order_id"))
    def order(request, signed, tx):
        ...

The decorator stands directly above the function or the method that handles the request, `def` or `async def`: below
@api_view and its like, so that what REST framework refuses by itself (authentication, permissions, throttling, another
method) comes before the guard, holds no lock and is never remembered.

The answer that duplicates get is what the view returned, rendered, or what Django or REST framework made of one of
their own HTTP errors. What middlewares add, the session's cookie among it, comes after the guard: it is not stored, and
middlewares run for duplicates again. Middlewares for template responses see an answer that is rendered already.
"""

from tocsin.guard.adapters.django._views import django_view

__all__ = ["django_view"]
