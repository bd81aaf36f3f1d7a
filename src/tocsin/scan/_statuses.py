"""Answers that are not the service's word on the state. PURE."""

from typing import Final

# What a rate limiter or an overloaded service answers; never a finding of a check that races (docs/checks.md).
LIMITED: Final = frozenset({429, 503})
# Who answers so has not looked at the request: it came to the wrong server (421, RFC 9110 section 15.5.20), or might be
# somebody's replay (425, RFC 8470 section 5.2). Sent again, it may well run.
UNHEARD: Final = frozenset({421, 425})
