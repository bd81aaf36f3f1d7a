import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Verdict
from tocsin.report._lines import Line, column_heads, heading, paragraph, verdict_line, widest

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def plain(line: Line) -> str:
    return "".join(text for text, _ in line)


def test_a_paragraph_breaks_between_words() -> None:
    assert [plain(line) for line in paragraph("one two three", 9, indent="  ")] == ["  one two", "  three"]


def test_a_lead_opens_the_first_line_only() -> None:
    assert [plain(line) for line in paragraph("one two three", 9, lead="Fix: ")] == ["Fix: one", "two three"]


def test_a_word_longer_than_the_line_stays_whole() -> None:
    url = "https://orders.example.com/" + "a" * 80
    assert [plain(line) for line in paragraph(f"see {url} there", 20)] == ["see", url, "there"]


def test_a_wide_character_counts_for_two_columns() -> None:
    assert [plain(line) for line in paragraph("注文 注文 x", 9)] == ["注文 注文", "x"]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x7E) | st.just(" ")), st.integers(1, 100))
def test_no_word_is_lost_and_no_line_too_long(text: str, columns: int) -> None:
    shown = [plain(line) for line in paragraph(text, columns)]
    assert " ".join(shown).split() == text.split()
    assert all(len(line) <= columns or " " not in line for line in shown)


def test_every_line_of_the_table_has_its_columns_below_each_other(run: Run) -> None:
    columns = widest(finding.check for finding in run[1])
    heads = plain(column_heads(columns))
    for finding in run[1]:
        row = plain(verdict_line(finding, columns))
        assert row.startswith(finding.check)
        assert row[heads.index("verdict") :].startswith(finding.verdict)
        if finding.effects is not None:
            assert row[heads.index("effects") :].startswith(str(finding.effects))
        if finding.verdict is Verdict.VIOLATED:
            assert row[heads.index("severity") :] == finding.severity
        assert len(row) <= 80
        assert row == row.rstrip()


def test_a_table_without_checks_has_no_width() -> None:
    assert widest([]) == 0


@pytest.mark.parametrize("rest", ["over-allocation, critical", "x" * 200])
def test_a_heading_reaches_the_edge_and_cuts_nothing(rest: str) -> None:
    shown = plain(heading(Verdict.VIOLATED, rest, 80))
    assert shown.startswith(f"- VIOLATED {rest} ")
    assert len(shown) == max(80, len(rest) + 12)
