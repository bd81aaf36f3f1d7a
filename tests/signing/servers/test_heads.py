import pytest

from tocsin.signing.servers._heads import asgi_headers, asgi_target, origin_form, wsgi_headers, wsgi_target


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"RAW_URI": "/a%2Fb?x=%7E"}, "/a%2Fb?x=%7E"),
        ({"REQUEST_URI": "/a?"}, "/a?"),
        ({"RAW_URI": "http://api/a?x"}, "/a?x"),
        ({"RAW_URI": "", "PATH_INFO": "/a"}, "/a"),
        ({"RAW_URI": b"/bytes", "PATH_INFO": "/a"}, "/a"),
        (
            {"SCRIPT_NAME": "/app", "PATH_INFO": "/caf\u00c3\u00a9 1", "QUERY_STRING": "x=%7E"},
            "/app/caf%C3%A9%201?x=%7E",
        ),
        ({}, ""),
    ],
)
def test_a_wsgi_target_is_the_raw_one_or_the_path_quoted_again(environ: dict[str, object], target: str) -> None:
    assert wsgi_target(environ) == target


def test_wsgi_headers_get_their_names_back_and_empty_bare_ones_are_none() -> None:
    environ = {
        "HTTP_X_SIGNATURE": "a, b",
        "HTTP_EMPTY": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "",
        "REQUEST_METHOD": "POST",
        "HTTP_ODD": 1,
    }
    assert wsgi_headers(environ) == (("X-Signature", "a, b"), ("Empty", ""), ("Content-Type", "application/json"))


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ({"raw_path": b"/a%2Fb", "path": "/a/b", "query_string": b"x=%7E"}, "/a%2Fb?x=%7E"),
        ({"raw_path": b"http://api/a", "query_string": b""}, "/a"),
        ({"raw_path": b"", "path": "/caf\u00e9 1", "query_string": b"x"}, "/caf%C3%A9%201?x"),
        ({"path": "/a"}, "/a"),
        ({}, ""),
    ],
)
def test_an_asgi_target_is_the_raw_one_or_the_path_quoted_again(scope: dict[str, object], target: str) -> None:
    assert asgi_target(scope) == target


def test_asgi_headers_stay_in_order_and_apart() -> None:
    fields = [(b"x-a", b"1"), (b"host", b"caf\xe9"), (b"x-a", b"2")]
    assert asgi_headers(fields) == (("x-a", "1"), ("host", "caf\u00e9"), ("x-a", "2"))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("/a?b", "/a?b"),
        ("/http://a", "/http://a"),
        ("*", "*"),
        ("http://api", "/"),
        ("https://api:1?x", "/?x"),
        ("http://api/a?x=/b", "/a?x=/b"),
        ("http://api?x=/b", "/?x=/b"),
        ("", ""),
    ],
)
def test_an_absolute_target_loses_what_is_before_its_path(given: str, wanted: str) -> None:
    assert origin_form(given) == wanted
