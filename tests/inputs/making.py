"""From a document to its plan, as text and understood."""

from collections.abc import Mapping

from tests.inputs.documents import archive
from tocsin.inputs import Exchange, plan_text, read_har, sketch_of
from tocsin.inputs.openapi import sketch_of_description
from tocsin.scan import Plan, plan_from_toml, rehearse


def understood(text: str) -> Plan:
    """A plan that is written here is understood there."""
    plan = plan_from_toml(text, "plan.toml")
    rehearse(plan)
    return plan


def of_requests(exchanges: list[Exchange], place: int = 0) -> str:
    """The plan of recorded requests."""
    text = plan_text(sketch_of(exchanges, place, "a test"))
    understood(text)
    return text


def of_archive(*entries: object, place: int = 0) -> str:
    """The plan of an archive's entry."""
    return of_requests(read_har(archive(*entries), "a.har"), place)


def of_description(
    document: str, entry: int | None = None, file: str = "api.yaml", beside: Mapping[str, str] | None = None
) -> str:
    """The plan of an operation."""
    files = beside or {}
    sketch = sketch_of_description(document.encode(), file, files=lambda name: files[name].encode(), entry=entry)
    text = plan_text(sketch)
    understood(text)
    return text


def post(body: bytes | str = b"", target: str = "/orders", **headers: str) -> Exchange:
    """A recorded POST of JSON."""
    octets = body.encode() if isinstance(body, str) else body
    fields = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange("POST", "https://shop.example", target, tuple(fields.items()), octets)
