from tests.scan.services.plans import plan
from tests.scan.services.scanning import FIVE
from tocsin.scan import CHECKS, describe

CHECKED = [check for check in CHECKS if check.id in FIVE]


def test_everything_that_would_be_sent_is_shown_as_the_plan_writes_it() -> None:
    said = describe(
        plan(
            request={"headers": {"X-Shop": "north"}},
            setup=[{"request": "POST /items", "body": '{"stock":5}', "extract": {"item": "/id"}}],
            state=[{"request": "GET /items/{{item}}", "headers": {"Accept": "application/json"}, "sign": True}],
            reset={"request": "DELETE http://127.0.0.1:9/all"},
            invariant=[{"request": "GET /all"}],
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
        '    {"id":"{{uuid}}"}',
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
    assert said[14:16] == ["To bring the state back", "  DELETE http://127.0.0.1:9/all"]
    assert said[-3:] == [
        "At most 90 requests, 20000 effects and 2.5 s",
        "Note: [invariant] is read over: intermediate-state is not built yet",
        "Nothing was sent.",
    ]


def test_each_check_is_named_with_its_question_or_with_what_it_lacks() -> None:
    said = describe(plan(request={"body": "x"}), CHECKED)

    assert "    one operation is one value of: nothing (no fresh variable)" in said
    assert "  concurrent-duplicate: NOT_APPLICABLE, no [[state]]: add the read endpoint" in said
    assert "Before each trial" not in said
    assert "To bring the state back" not in said
    ready = describe(plan(state=[{"request": "GET /count"}]), CHECKED)
    assert "  concurrent-duplicate: The same signed request many times at once: more than one effect?" in ready
    assert "  over-allocation: NOT_APPLICABLE, no [limits]: add how many" in ready
