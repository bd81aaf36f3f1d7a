"""Each defence of `tocsin plan`, removed: a named test of tests/cli/test_plan.py would see what is asserted here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scan.services.commanding import plan as plan_of
from tests.scan.services.desk import Desk
from tocsin.cli import _foreign, main
from tocsin.inputs import _recorded, _target, _values
from tocsin.scan import _preview

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_without_a_look_at_names_and_shapes_a_password_stands_in_the_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen by test_a_plan_and_its_explanation_hold_nothing_that_was_secret."""
    for module in (_values, _recorded, _target):
        monkeypatch.setattr(module, "is_secret", lambda *_: False)
    assert main(["plan", "new", "--curl", """curl http://127.0.0.1:1 -d '{"password":"hush"}'"""]) == 0
    assert "hush" in capsys.readouterr().out


def test_without_a_folder_of_its_own_a_description_reads_any_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen by test_a_description_reads_the_files_beside_it_and_no_others."""

    def anywhere(folder: Path) -> Callable[[str], bytes]:
        return lambda name: (folder / name).read_bytes()

    monkeypatch.setattr(_foreign, "_beside", anywhere)
    Path("api").mkdir()
    Path("parts.yaml").write_text("post: {}", encoding="utf-8")
    Path("api/api.yaml").write_text("openapi: 3.0.0\npaths:\n  /pay: {$ref: ../parts.yaml}\n", encoding="utf-8")
    assert main(["plan", "new", "api/api.yaml"]) == 0
    assert 'path = "/pay"' in capsys.readouterr().out


def test_a_probe_that_asks_no_method_changes_the_state(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen by test_what_cannot_be_read_is_said_and_is_no_success."""
    monkeypatch.setattr(_preview, "_unfit", lambda *_: None)
    main(["plan", "check", plan_of(desk, state=[{"request": "POST /items", "pointer": "/stock"}]), "--probe"])
    assert "POST" in {asked.method for asked in desk.asked}
    assert "not read" not in capsys.readouterr().out


def test_without_a_mask_the_example_shows_a_signature(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen by test_a_complete_plan_is_explained_and_nothing_is_sent."""
    monkeypatch.setattr(_preview, "_masked", lambda value, _twin: value)
    assert main(["plan", "check", plan_of(desk)]) == 0
    assert "X-Signature: ..." not in capsys.readouterr().out
