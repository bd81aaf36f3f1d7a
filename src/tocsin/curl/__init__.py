"""A curl command as the request that it sends. PURE.

Rule: every option is understood or refused, and so is everything that a shell or curl would make of a word. What is
silently dropped, or read otherwise than they do, would be another request than the user's.
"""

from tocsin.curl._command import CurlRequest, parse_curl
from tocsin.curl._errors import CurlError

__all__ = ["CurlError", "CurlRequest", "parse_curl"]
