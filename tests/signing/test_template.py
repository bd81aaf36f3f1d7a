import pytest

from tocsin.signing import SchemeError
from tocsin.signing._template import Placeholder, parse_template

KNOWN = {"body", "header", "timestamp"}


def test_a_template_is_literals_and_placeholders_without_empty_literals() -> None:
    parts = parse_template("{timestamp}.{body}{header:X-Event}\n", field="content", known=KNOWN)
    assert parts == (Placeholder("timestamp"), ".", Placeholder("body"), Placeholder("header", "X-Event"), "\n")
    assert [str(part) for part in parts] == ["{timestamp}", ".", "{body}", "{header:X-Event}", "\n"]


@pytest.mark.parametrize("template", ["{", "}", "a{b", "{{timestamp}}", "{body}}", "{{}"])
def test_a_brace_that_stands_alone_is_refused(template: str) -> None:
    with pytest.raises(SchemeError, match="a brace stands alone"):
        parse_template(template, field="content", known=KNOWN)


def test_an_unknown_placeholder_names_the_nearest_known_one() -> None:
    with pytest.raises(SchemeError, match=r"content: unknown placeholder 'timestmap'; did you mean 'timestamp'\?"):
        parse_template("{timestmap}", field="content", known=KNOWN)
    with pytest.raises(SchemeError, match="known: body, header:X-Event, timestamp"):
        parse_template("{}", field="content", known=KNOWN)


def test_only_the_header_placeholder_takes_an_argument_and_needs_it() -> None:
    for template in ("{body:x}", "{header}"):
        with pytest.raises(SchemeError, match="unknown placeholder"):
            parse_template(template, field="content", known=KNOWN)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é"])
def test_a_header_placeholder_wants_a_field_name(name: str) -> None:
    with pytest.raises(SchemeError, match="names no header"):
        parse_template(f"{{header:{name}}}", field="content", known=KNOWN)
