"""What docs/inputs.md shows is what comes out."""

import shutil
from pathlib import Path

import pytest

from tests.test_docs import ROOT, blocks
from tocsin.cli import main

CAPTURE = Path(__file__).parent / "captures" / "orders.mitm"


def test_the_plan_and_the_error_of_the_document_are_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, refused, explained = blocks("docs/inputs.md", "text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOCSIN_SECRET", raising=False)
    shutil.copy(CAPTURE, "orders.mitm")

    assert main(["plan", "new", "orders.mitm", "-o", "plan.toml"]) == 0
    plan = Path("plan.toml").read_text(encoding="utf-8")
    assert shown == f"$ tocsin plan new orders.mitm -o plan.toml\n{capsys.readouterr().out}$ cat plan.toml\n{plan}"

    assert main(["plan", "check", "plan.toml"]) == 3
    asked = capsys.readouterr().out.partition("\nVariables\n")[2]
    assert explained.endswith(f"\nVariables\n{asked}")

    Path("api.yaml").write_text(
        "openapi: 3.0.3\npaths:\n  /pay:\n    $ref: https://evil.example/pay.yaml\n", encoding="utf-8"
    )
    assert main(["plan", "new", "api.yaml"]) == 2
    assert refused == f"$ tocsin plan new api.yaml\n{capsys.readouterr().err}"
    assert (ROOT / "docs" / "inputs.md").stat().st_size < 12_000
