"""Verify-only middlewares for WSGI and ASGI, for services that need no guard."""
