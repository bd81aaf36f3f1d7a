import pytest

from tocsin.cli import main
from tocsin.report.explanation import FRAMEWORKS, explained


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def test_without_a_check_all_are_listed_on_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(explained())
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("check", explained())
def test_a_check_is_taught_whole_on_80_columns_and_in_ascii(check: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, check)
    assert text.isascii()
    assert max(len(line.expandtabs(4)) for line in text.splitlines()) <= 80
    heads = [line.strip("- ") for line in text.splitlines() if line.startswith("-- ")]
    names = [name for name, _ in FRAMEWORKS.values()]
    assert heads == [check, "Why it matters", "The picture", "The fix", *names, "Known as"]
    assert text.splitlines()[-1].startswith("OWASP API")


def test_one_framework_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "over-allocation", "--for", "go")
    assert "-- Go ---" in text
    assert "-- Django ---" not in text


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("over-alocation", 'tocsin: no check "over-alocation"; did you mean "over-allocation"?\n'),
        ("x", 'tocsin: no check "x"; tocsin explain lists them\n'),
    ],
)
def test_another_check_is_one_line(check: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", check]) == 2
    assert capsys.readouterr().err == told
