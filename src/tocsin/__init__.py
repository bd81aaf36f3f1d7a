"""Find, fix and rule out race conditions behind HMAC-signed HTTP requests."""

__version__ = "0.1.0"
