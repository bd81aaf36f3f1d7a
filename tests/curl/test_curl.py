import shlex
import subprocess
import sys

import pytest

from tocsin.curl import CurlError, CurlRequest, parse_curl

ORIGIN = "http://api.example.com"


def test_a_command_is_read_as_a_shell_and_curl_read_it() -> None:
    command = """curl -sS -X PUT 'https://api.example.com:8443/order?x=%7E&y=1#part' \\
      -H 'X-Id:  17 ' --header "X-Text: it's" -d '{"a":1}' --data-raw 'b c' --compressed"""
    assert parse_curl(command) == CurlRequest(
        "PUT",
        "https://api.example.com:8443",
        "/order?x=%7E&y=1",
        (("X-Id", "17"), ("X-Text", "it's"), ("Content-Type", "application/x-www-form-urlencoded")),
        '{"a":1}&b c',
    )


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (ORIGIN, CurlRequest("GET", ORIGIN, "/", (), "")),
        ("api.example.com/a", CurlRequest("GET", ORIGIN, "/a", (), "")),
        ("HTTP://api.example.com?x", CurlRequest("GET", ORIGIN, "/?x", (), "")),
        ("http://[::1]:8000/a", CurlRequest("GET", "http://[::1]:8000", "/a", (), "")),
        (f"{ORIGIN}/~ann#part", CurlRequest("GET", ORIGIN, "/~ann", (), "")),
        (f"{ORIGIN}/{{{{id}}}}?at={{{{timestamp}}}}", CurlRequest("GET", ORIGIN, "/{{id}}?at={{timestamp}}", (), "")),
        (f"-g {ORIGIN}/a}}", CurlRequest("GET", ORIGIN, "/a}", (), "")),
        (f"-g '{ORIGIN}/[1]{{a}}'", CurlRequest("GET", ORIGIN, "/[1]{a}", (), "")),
        (f"{ORIGIN}/a?", CurlRequest("GET", ORIGIN, "/a?", (), "")),
        (f"{ORIGIN}/a?x=/../", CurlRequest("GET", ORIGIN, "/a?x=/../", (), "")),
        (f"{ORIGIN} -H 'Content-Type: a/b' -d x", CurlRequest("POST", ORIGIN, "/", (("Content-Type", "a/b"),), "x")),
        (
            f"{ORIGIN} -d ''",
            CurlRequest("POST", ORIGIN, "/", (("Content-Type", "application/x-www-form-urlencoded"),), ""),
        ),
        (f"""{ORIGIN} -H X:\\$5 """, CurlRequest("GET", ORIGIN, "/", (("X", "$5"),), "")),
        (f"""{ORIGIN} -H "X: \\$5" """, CurlRequest("GET", ORIGIN, "/", (("X", "$5"),), "")),
        (f"""{ORIGIN} -H 'X: $'""", CurlRequest("GET", ORIGIN, "/", (("X", "$"),), "")),
    ],
)
@pytest.mark.parametrize("prefix", ["", "curl "])
def test_what_is_left_out_is_what_curl_takes_for_it(prefix: str, words: str, request_: CurlRequest) -> None:
    assert parse_curl(prefix + words) == request_


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "no URL"),
        (f"{ORIGIN} --upload-file x", "option --upload-file is not understood"),
        (f"{ORIGIN} 'open", "No closing quotation"),
        ("ftp://api.example.com", "wanted an http URL"),
        ("http:///a", "wanted an http URL"),
        ("http://user:word@api.example.com", "the URL holds a user name"),
        (f"{ORIGIN} -d @file", r"a body from a file \(@\) is not read"),
        (f"{ORIGIN} -H Name", "a header without a colon"),
        (f"{ORIGIN} -H ': x'", "a header that cannot be sent as it is"),
        (f"{ORIGIN}/a/../b", "wanted a path without the segments . and .."),
        (f"{ORIGIN}/.", "wanted a path without the segments . and .."),
        (f"{ORIGIN} --data-raw $'it\\'s'", "a shell would fill in"),
        (f"{ORIGIN} -H X:$NAME", "a shell would fill in"),
        (f'{ORIGIN} -H "X: $NAME"', "a shell would fill in"),
        (f'{ORIGIN} -H "X: `date`"', "a shell would fill in"),
        (f"{ORIGIN}/a?x=1&y=2", "a use of its own for '&' outside quotes"),
        (f"{ORIGIN} -d ~", "a use of its own for '~' outside quotes"),
        (f"{ORIGIN} -d a=~", "a use of its own for '~' outside quotes"),
        (f"{ORIGIN} -d {{x,y}}", "a use of its own for '{' outside quotes"),
        (f"{ORIGIN} -d {{{{a}}}},}}", "a use of its own for '}' outside quotes"),
        (f"{ORIGIN} -d ?", r"a use of its own for '\?' outside quotes"),
        (f"{ORIGIN} -d *", r"a use of its own for '\*' outside quotes"),
        (f"{ORIGIN} -d bin/[ls]", r"a use of its own for '\[' outside quotes"),
        (f"{ORIGIN} -d x # note", "a use of its own for '#' outside quotes"),
        (f"{ORIGIN}\n-d x", "a line break ends a command"),
        (f"{ORIGIN} -d x\r\n-d y", "a carriage return"),
        (f"{ORIGIN} -d x \\\n \n", "nothing follows the last"),
        (f"{ORIGIN} -d x \\", "nothing follows the last"),
        (f"{ORIGIN} --data=x", "option --data is not understood"),
        (f"{ORIGIN} -X=PUT", "the method is no word"),
        (f"{ORIGIN} -X ''", "the method is no word"),
        (f"{ORIGIN} -sd", "option -d wants a value"),
        (f"{ORIGIN} -", "option - is not understood"),
        (f"{ORIGIN} -H 'X : a'", "a header that cannot be sent as it is"),
        (f"{ORIGIN} -H 'X: a\nb'", "a header that cannot be sent as it is"),
        (f"'{ORIGIN}/caf\u00e9'", "wanted it percent-encoded"),
        (f"'{ORIGIN}/a b'", "wanted it percent-encoded"),
        (f"'{ORIGIN}/{{a,b}}'", "brackets and braces"),
        (f"'{ORIGIN}/[1-3]'", "brackets and braces"),
        (f"'{ORIGIN}/#[1-3]'", "brackets and braces"),
        (f"{ORIGIN}/%2E%2e/b", "wanted a path without the segments . and .."),
        ("http://127.0.0.1:65536", "the URL's host is none"),
        ("'http://a b/c'", "the URL's host is none"),
        ("ftp.example.com/a", "wanted an http URL"),
    ],
)
def test_what_is_not_understood_is_refused(words: str, reason: str) -> None:
    with pytest.raises(CurlError, match=reason):
        parse_curl(words)


def test_a_quoted_word_comes_back_whatever_it_holds() -> None:
    for text in ("$'x'", 'a"b', "it's", "\\", "a\\\nb"[:2], "#", "caf\u00e9 $(x) `y`"):
        assert parse_curl(f"{ORIGIN} -d {shlex.quote(text)}").body == text


def test_reading_a_command_needs_no_third_party_package() -> None:
    script = "import sys, tocsin.curl; print([n for n in ('h11', 'rich', 'tocsin.scan') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    "options",
    [
        "-u alice:pass-word",
        "-ualice:pass-word",
        "--user=alice:pass-word",
        "--user alice:pass-word",
        "-sXpass-word -spass-word",
    ],
)
def test_an_option_that_is_not_understood_is_named_without_its_value(options: str) -> None:
    """It may be a password."""
    with pytest.raises(CurlError) as caught:
        parse_curl(f"curl {options} http://127.0.0.1/x http://127.0.0.1/y")

    assert "pass-word" not in str(caught.value)
    assert str(caught.value)


def test_a_second_url_is_refused() -> None:
    with pytest.raises(CurlError, match="more than one URL"):
        parse_curl("curl http://127.0.0.1/x http://127.0.0.1/y")


def test_a_url_is_not_repeated_in_an_error() -> None:
    """What stands before or after the wrong mark may be a key of a hook, or a password with a slash in it."""
    for url in ("http://ann:pass/word@127.0.0.1/", "http://127.0.0.1/../hooks/pass", "'http://127.0.0.1/pass b'"):
        with pytest.raises(CurlError) as refused:
            parse_curl(url)
        assert "pass" not in str(refused.value)


def test_a_long_command_is_read_at_once() -> None:
    """Ten thousand parts of data: no step looks at all the words before it."""
    assert parse_curl(f"{ORIGIN} {'-d x ' * 10_000}").body.count("&") == 9_999
