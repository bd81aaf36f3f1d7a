from tests.scan.services.plans import plan
from tests.scan.services.scanning import FIVE
from tocsin.scan import CHECKS, Options, describe

CHECKED = Options([check for check in CHECKS if check.id in FIVE], 1, ())


def test_everything_that_would_be_sent_is_shown_as_the_plan_writes_it() -> None:
    said = describe(
        plan(
            request={"headers": {"X-Shop": "north"}, "body": '{"id":"{{uuid}}","seq":{{seq}}}'},
            identity={"variables": ["uuid"]},
            setup=[{"request": "POST /items", "body": '{"stock":5}', "extract": {"item": "/id"}}],
            state=[{"request": "GET /items/{{item}}", "headers": {"Accept": "application/json"}, "sign": True}],
            reset={"request": "DELETE http://127.0.0.1:9/all"},
            invariant=[{"request": "GET /all", "sum_of": ["/a"], "equals": 1}],
            mix=[{"request": "POST /cancel", "body": "{}"}],
            variables={"seq": {"fresh": "counter"}},
            sequence={"variable": "seq", "applied": {"request": "GET /version", "pointer": "/version"}},
            budget={"requests": 90, "seconds": 2.5},
        ),
        CHECKED,
    ).splitlines()

    assert said[:10] == [
        "Would scan http://127.0.0.1:8000, by orders.toml",
        "",
        "Sent, signed anew each time",
        "  POST /order (signed)",
        "    X-Shop: north",
        '    {"id":"{{uuid}}","seq":{{seq}}}',
        "    signature: hex-sha256-body",
        "    one operation is one value of: uuid",
        "Before each trial",
        "  POST /items",
    ]
    assert (said[11:14]) == [
        "Read, before and after each trial",
        "  GET /items/{{item}} (signed)",
        "    Accept: application/json",
    ]
    assert said[14:23] == [
        "Raced with it",
        "  POST /cancel (signed)",
        "    X-Shop: north",
        "    {}",
        "Read while requests are in flight",
        "  GET /all",
        "Read for the number of the applied message",
        "  GET /version",
        "To bring the state back",
    ]
    assert said[23] == "  DELETE http://127.0.0.1:9/all"
    assert said[-2:] == ["At most 90 requests, 20000 effects and 2.5 s", "Nothing was sent."]


def test_a_note_of_the_plan_is_shown() -> None:
    assert "Note: [budget] effects = 900: without [reset]" in describe(plan(budget={"effects": 900}), CHECKED)


def test_a_state_that_no_request_reads_is_shown_too() -> None:
    said = describe(plan(state=[{"sql": "SELECT 1", "database": "sqlite:a.db"}]), CHECKED)
    assert "Read, before and after each trial\n  sql SELECT 1\n" in said


def test_a_check_that_has_to_be_asked_for_says_so_until_it_is() -> None:
    timing = [check for check in CHECKS if check.opt_in]
    ready = plan(state=[{"request": "GET /count"}])
    assert "comparison-timing: NOT_APPLICABLE, not asked for" in describe(ready, Options(timing, 1, ()))
    asked = Options(timing, 1, (), frozenset({"comparison-timing"}))
    assert "comparison-timing: Does the comparison of signatures leak" in describe(ready, asked)


def test_each_check_is_named_with_its_question_or_with_what_it_lacks() -> None:
    said = describe(plan(request={"body": "x"}), CHECKED)

    assert "    one operation is one value of: nothing (no fresh variable)" in said
    assert "  concurrent-duplicate: NOT_APPLICABLE, no [[state]]: add the read endpoint" in said
    assert "Before each trial" not in said
    assert "To bring the state back" not in said
    ready = describe(plan(state=[{"request": "GET /count"}]), CHECKED)
    assert "  concurrent-duplicate: The same signed request many times at once: more than\n    one effect?\n" in ready
    assert "  over-allocation: NOT_APPLICABLE, no [limits]: add how many" in ready
