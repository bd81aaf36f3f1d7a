"""Verify-only middlewares for WSGI and ASGI, for services that need no guard; and what a request was on the wire."""

from tocsin.signing.servers._heads import asgi_headers, asgi_target, wsgi_headers, wsgi_target

__all__ = ["asgi_headers", "asgi_target", "wsgi_headers", "wsgi_target"]
