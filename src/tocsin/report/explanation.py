"""What a check asks, why it matters and how the hole is closed: one data file a check, in `explanations`. PURE.

Rule: the files are ours and read as they are; what one of them lacks is an error, not a gap on the page.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

# What a fix is written for, in the order in which it is shown: name in the file -> (for people, for highlighters).
FRAMEWORKS: Mapping[str, tuple[str, str]] = {
    "flask": ("Flask", "python"),
    "django": ("Django", "python"),
    "fastapi": ("FastAPI", "python"),
    "actix": ("Actix", "rust"),
    "express": ("Express", "javascript"),
    "go": ("Go", "go"),
}
_SUFFIX = ".toml"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one file says.

    Args:
        check: the id; the file's name without its suffix.
        question: what the check asks.
        cwe: the weaknesses that a violation shows, by number.
        owasp: the category of the OWASP API Security Top 10 2023.
        what: how it is found out; paragraphs, separated by an empty line.
        why: what an attacker, or bad luck, makes of it; likewise.
        picture: the hole as a timeline, at most 80 columns of ASCII.
        fix: the idea of the fix; likewise.
        code: the fix in each of FRAMEWORKS.
    """

    check: str
    question: str
    cwe: tuple[int, ...]
    owasp: str
    what: str
    why: str
    picture: str
    fix: str
    code: Mapping[str, str]


@cache
def explained() -> tuple[str, ...]:
    """The ids of all checks that have an explanation, by the alphabet."""
    files = resources.files("tocsin.report").joinpath("explanations").iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX)))


@cache
def explanation(check: str) -> Explanation | None:
    """The explanation of a check, or None if there is no such file."""
    if check not in explained():
        return None
    file = resources.files("tocsin.report").joinpath("explanations", f"{check}{_SUFFIX}")
    return parse_explanation(check, tomllib.loads(file.read_text(encoding="utf-8")))


def parse_explanation(check: str, table: Mapping[str, Any]) -> Explanation:
    """An explanation from what its file holds.

    Raises:
        KeyError: something is missing.
    """
    return Explanation(
        check=check,
        question=table["question"],
        cwe=tuple(table["cwe"]),
        owasp=table["owasp"],
        what=table["what"].strip(),
        why=table["why"].strip(),
        picture=table["picture"].strip("\n"),
        fix=table["fix"].strip(),
        code={framework: table["code"][framework].strip("\n") for framework in FRAMEWORKS},
    )
