"""Every check is explained, whole, and readable on 80 columns."""

import tomllib
from importlib import resources
from typing import Any

import pytest

from tocsin.report._weaknesses import NAMES, weakness
from tocsin.report.explanation import FRAMEWORKS, explained, explanation, parse_explanation
from tocsin.scan import CHECKS

EVERY = pytest.mark.parametrize("check", explained())


def table(check: str) -> dict[str, Any]:
    folder = resources.files("tocsin.report").joinpath("explanations")
    return tomllib.loads(folder.joinpath(f"{check}.toml").read_text(encoding="utf-8"))


def test_every_check_is_explained_and_nothing_else() -> None:
    assert set(explained()) == {check.id for check in CHECKS}
    assert explanation("no-such-check") is None


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_an_explanation_says_of_a_check_what_the_check_says(check: Any) -> None:
    found = explanation(check.id)
    assert found is not None
    assert (found.question, found.cwe, found.owasp) == (check.title, check.cwe, check.owasp)


@EVERY
def test_a_picture_is_ascii_on_80_columns(check: str) -> None:
    found = explanation(check)
    assert found is not None
    lines = found.picture.splitlines()
    assert len(lines) >= 4
    assert found.picture.isascii()
    assert [line for line in lines if len(line) > 80 or line != line.rstrip() or "\t" in line] == []


@EVERY
def test_code_fits_80_columns_in_every_framework(check: str) -> None:
    found = explanation(check)
    assert found is not None
    assert list(found.code) == list(FRAMEWORKS)
    wide = [line for code in found.code.values() for line in code.expandtabs(4).splitlines() if len(line) > 80]
    assert wide == []
    assert all(code.isascii() for code in found.code.values())


@EVERY
def test_every_weakness_has_its_name(check: str) -> None:
    found = explanation(check)
    assert found is not None
    assert set(found.cwe) <= set(NAMES)


def test_a_weakness_without_a_name_is_its_number() -> None:
    assert weakness(367) == "CWE-367: Time-of-check Time-of-use (TOCTOU) Race Condition"
    assert weakness(1) == "CWE-1"


@pytest.mark.parametrize("part", ["question", "cwe", "owasp", "what", "why", "picture", "fix", "code"])
def test_an_explanation_without_one_of_its_parts_is_refused(part: str) -> None:
    whole = table("over-allocation")
    del whole[part]
    with pytest.raises(KeyError, match=part):
        parse_explanation("over-allocation", whole)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_explanation_without_one_of_the_frameworks_is_refused(framework: str) -> None:
    whole = table("over-allocation")
    del whole["code"][framework]
    with pytest.raises(KeyError, match=framework):
        parse_explanation("over-allocation", whole)
