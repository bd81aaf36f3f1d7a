"""The lessons quote what is: sources as they stand, verdicts as in expected.toml, outputs as a scan has them."""

from pathlib import Path

import pytest

from lab._services import LabError, find
from tools import lessons

PAGES = sorted(lessons.LESSONS.glob("*.md"))
TRUE = "```text\nsignature-bypass  VIOLATED, medium\nA stranger.\n```"


def page(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "page.md"
    file.write_text(text)
    return list(lessons.problems(file))


def test_there_are_lessons_and_nothing_in_them_is_out_of_date() -> None:
    assert len(PAGES) >= 4
    assert [problem for found in PAGES for problem in lessons.problems(found)] == []


def test_a_scan_prints_what_the_lesson_quotes() -> None:
    quoted = (lessons.LESSONS / "one-write-lock.md").read_text()
    findings = {"flask-published": lessons.scanned("flask-published", only=["signature-bypass"])}
    assert lessons.of_scan(["flask-published", "signature-bypass"], findings) in quoted


def test_a_quoted_verdict_that_is_not_the_truth_is_a_problem(tmp_path: Path) -> None:
    block = "<!-- scan: flask-published signature-bypass -->\n{}\n<!-- end -->"
    assert page(tmp_path, block.format(TRUE)) == []
    assert (
        "does not say signature-bypass VIOLATED medium"
        in page(tmp_path, block.format(TRUE.replace("medium", "low")))[0]
    )
    assert "does not say" in page(tmp_path, block.format(""))[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!-- scan: flask-publishd signature-bypass -->\n\n<!-- end -->", "no service 'flask-publishd' in the lab"),
        ("<!-- scan: flask-published bypass -->\n\n<!-- end -->", "no truth about 'bypass'"),
        ("<!-- source: lab/flask-published/app.py nothing -->\n\n<!-- end -->", "has no function nothing"),
        ("<!-- source: lab/flask-published/app.rs order -->\n\n<!-- end -->", "is not there"),
        ("<!-- source: lab/flask-published/app.py is_signed -->\nold\n<!-- end -->", "is out of date"),
        ("<!-- source: lab/flask-published/app.py is_signed -->\n", "a block has no <!-- end -->"),
    ],
)
def test_what_is_not_there_or_out_of_date_is_a_problem(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in page(tmp_path, text)[0]


def test_a_source_is_the_function_with_its_decorators() -> None:
    said = lessons.of_source(["lab/flask-published/app.py", "order"], {})
    assert said.startswith('```python\n@app.post("/order")\ndef order()')
    assert said in (lessons.LESSONS / "one-write-lock.md").read_text()
    with pytest.raises(LabError, match="no function"):
        lessons.of_source(["lab/flask-published/app.py", "ordering"], {})


def test_sources_are_written_without_a_scan_and_quoted_scans_stay(tmp_path: Path) -> None:
    quoted = f"<!-- scan: flask-published signature-bypass -->\n{TRUE}\n<!-- end -->"
    source = "<!-- source: lab/flask-published/app.py is_signed -->\nold\n<!-- end -->"
    file = tmp_path / "page.md"
    file.write_text(f"{quoted}\n\n{source}\n")
    assert lessons.main(["--sources", str(file)]) == 0
    assert file.read_text().startswith(quoted)
    assert "def is_signed(body: bytes) -> bool:" in file.read_text()
    assert lessons.main(["--check", str(file)]) == 0


def test_a_function_in_rust_is_found_whole() -> None:
    said = lessons.of_source(["lab/actix/services/src/bin/transaction.rs", "reserve"], {})
    assert said.startswith("```rust\nasync fn reserve(")
    assert said.endswith("\n}\n```")
    with pytest.raises(LabError, match="no function reserved"):
        lessons.of_source(["lab/actix/services/src/bin/transaction.rs", "reserved"], {})


def test_every_service_that_a_lesson_scans_is_in_the_lab() -> None:
    services = {
        words.split()[0] for found in PAGES for kind, words in lessons._blocks(found.read_text()) if kind == "scan"
    }
    assert services >= {"flask-vulnerable", "flask-published", "flask-guarded"}
    assert all(find(name).plan.is_file() for name in services)
