"""Every rule of the guard, and every case in which other libraries fail, is shown by tests that are there."""

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[2]
TABLE: dict[str, list[dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("rules.toml").read_text())


@cache
def found_in(path: str) -> frozenset[str]:
    module = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", TABLE["rule"] + TABLE["case"], ids=lambda row: str(row["says"]))
def test_whoever_looks_for_its_tests_finds_them(row: dict[str, Any]) -> None:
    assert row["tests"]
    missing = [test for test in row["tests"] if test.partition("::")[2] not in found_in(test.partition("::")[0])]
    assert missing == []


def test_no_rule_and_no_case_is_there_twice() -> None:
    says = [row["says"] for row in TABLE["rule"] + TABLE["case"]]
    assert len(says) == len(set(says))
