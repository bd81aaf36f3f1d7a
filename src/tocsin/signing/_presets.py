"""Published schemes, and our own, as data. PURE.

Rule: one entry says everything: layout, window, message id, for how long its sender may send again, what stays
unsigned, where that is written, and what of it nobody at the provider confirms. No code knows a scheme by name.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tocsin.signing._entries_body import BODY_ENTRIES
from tocsin.signing._entries_fields import FIELDS_ENTRIES
from tocsin.signing._entries_requests import REQUEST_ENTRIES
from tocsin.signing._entries_timed import TIMED_ENTRIES
from tocsin.signing._entries_url import URL_ENTRIES
from tocsin.signing._errors import SchemeError
from tocsin.signing._nearest import unknown
from tocsin.signing._scheme import Scheme

_ENTRIES = (*BODY_ENTRIES, *TIMED_ENTRIES, *URL_ENTRIES, *FIELDS_ENTRIES, *REQUEST_ENTRIES)

PRESETS: Mapping[str, Scheme] = MappingProxyType({scheme.name: scheme for scheme in _ENTRIES})


def preset(name: str, **changes: Any) -> Scheme:  # noqa: ANN401  each is checked by Scheme, and by the plan's table
    """A preset, perhaps with other values in some of its fields.

    Args:
        name: one of PRESETS.
        changes: fields of Scheme: preset("hex-sha256-body", header="X-Hub", value="sha256={signature}").

    Raises:
        SchemeError: no such preset or field, or the result is no scheme.
    """
    if name not in PRESETS:
        raise SchemeError(unknown("preset", name, PRESETS))
    fields = [known for known, declared in Scheme.__dataclass_fields__.items() if declared.init]
    for change in changes:
        if change not in fields:
            raise SchemeError(unknown("field of a scheme", change, fields))
    return replace(PRESETS[name], **changes)
