from tocsin.signing import Message


def test_path_and_query_split_at_the_first_question_mark_only() -> None:
    message = Message("GET", "/a%2Fb?x=1?y", (), b"")
    assert (message.path, message.query) == ("/a%2Fb", "x=1?y")


def test_a_target_without_question_mark_has_an_empty_query() -> None:
    message = Message("GET", "/a", (), b"")
    assert (message.path, message.query) == ("/a", "")


def test_values_are_found_without_case_and_in_wire_order() -> None:
    message = Message("GET", "/", (("X-A", "1"), ("x-b", "2"), ("x-a", "3")), b"")
    assert message.values("x-A") == ("1", "3")
    assert message.values("X-C") == ()
