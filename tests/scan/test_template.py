import pytest

from tocsin.scan._template import Template


def test_a_template_names_its_variables_and_renders_them_verbatim() -> None:
    template = Template("/a/{{item}}?q={{ n_1 }}&again={{item}}")

    assert template.names == {"item", "n_1"}
    assert template.render({"item": "x/y?{{n_1}}", "n_1": "2"}) == "/a/x/y?{{n_1}}?q=2&again=x/y?{{n_1}}"


@pytest.mark.parametrize("text", ["{item}", "{{}}", "{{1a}}", "{{a-b}}", "{{ä}}", "{{a", ""])
def test_what_is_no_placeholder_stays_as_it_is(text: str) -> None:
    assert (Template(text).names, Template(text).render({})) == (frozenset(), text)


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="item"):
        Template("{{item}}").render({})
