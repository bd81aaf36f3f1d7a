import pytest

from tocsin.signing import Duplicated, Malformed, SchemeError
from tocsin.signing._layout import Layout, Presented

STRIPE = Layout.compile("t={timestamp},v1={signature}", header="X-Sig", separator=",")
WHOLE = Layout.compile("t={timestamp};v1={signature};", header="X-Sig", separator=None)
PREFIXED = Layout.compile("sha256={signature}", header="X-Sig", separator=None)


def test_a_whole_value_is_rendered_and_read_back() -> None:
    value = WHOLE.render("ab12", {"timestamp": "17"})
    assert value == "t=17;v1=ab12;"
    assert WHOLE.read(value) == Presented(("ab12",), {"timestamp": "17"})
    assert PREFIXED.read("sha256=ab12") == Presented(("ab12",), {})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=17",
        "t=17;v1=ab12",
        "v1=ab12;t=17;",
        "x;t=17;v1=ab12;",
        "t=17;v1=ab12; ",
        "T=17;v1=ab12;",
        " t=17;v1=ab12;",
    ],
)
def test_a_whole_value_of_another_shape_is_malformed(value: str) -> None:
    with pytest.raises(Malformed, match="header X-Sig does not have the shape"):
        WHOLE.read(value)


@pytest.mark.parametrize("value", ["", "sha256", "SHA256=ab12", "sha1=ab12", " sha256=ab12"])
def test_the_prefix_is_wanted_as_declared(value: str) -> None:
    with pytest.raises(Malformed, match="does not have the shape sha256="):
        PREFIXED.read(value)


def test_a_prefix_and_a_suffix_do_not_overlap() -> None:
    layout = Layout.compile("ab{signature}bc", header="X-Sig", separator=None)
    assert layout.read("abbc") == Presented(("",), {})
    with pytest.raises(Malformed):
        layout.read("abc")


def test_a_list_is_rendered_in_the_declared_order() -> None:
    assert STRIPE.render("ab12", {"timestamp": "17"}) == "t=17,v1=ab12"


@pytest.mark.parametrize(
    "value",
    ["t=17,v1=a,v1=b", "v1=a,t=17,v1=b", "v0=x,t=17,,v1=a,junk,=,v1=b,t", "v1=a,v1=b,t=17,v2=c"],
)
def test_every_signature_of_a_list_is_found_in_any_order_among_junk(value: str) -> None:
    assert STRIPE.read(value) == Presented(("a", "b"), {"timestamp": "17"})


def test_two_timestamps_in_one_list_are_rejected() -> None:
    with pytest.raises(Duplicated, match="the timestamp in header X-Sig is given more than once"):
        STRIPE.read("t=17,t=17,v1=a")


@pytest.mark.parametrize("value", ["", "t=17", "v1=a", "t=17,v0=a", "t=17 v1=a"])
def test_a_list_without_what_it_needs_is_malformed(value: str) -> None:
    with pytest.raises(Malformed, match="does not have the shape"):
        STRIPE.read(value)


def test_junk_is_skipped_only_up_to_a_count() -> None:
    assert STRIPE.read("x," * 62 + "t=17,v1=a").signatures == ("a",)
    with pytest.raises(Malformed, match="has 65 items; wanted at most 64"):
        STRIPE.read("x," * 63 + "t=17,v1=a")


def test_an_over_long_value_is_not_even_split() -> None:
    assert PREFIXED.read("sha256=".ljust(4096, "a")).signatures
    with pytest.raises(Malformed, match="has 4097 characters; wanted at most 4096"):
        PREFIXED.read("sha256=".ljust(4097, "a"))


@pytest.mark.parametrize(
    "value", ["sha256=\u00e9", "sha256=\ud800", "sha256=\0", "sha256=a\nb", "sha256=a\tb", "\u212a"]
)
def test_a_value_that_is_not_printable_ascii_is_malformed(value: str) -> None:
    with pytest.raises(Malformed, match="other than printable ASCII"):
        PREFIXED.read(value)


@pytest.mark.parametrize(
    ("template", "separator", "reason"),
    [
        ("sha256=", None, "wanted {signature} once"),
        ("{signature}.{signature}", None, "nothing twice"),
        ("{timestamp},{timestamp},{signature}", None, "nothing twice"),
        ("{timestamp}{signature}", None, "nothing separates {timestamp} from {signature}"),
        ("\u00e9{signature}", None, "wanted printable ASCII"),
        ("a\n{signature}", None, "wanted printable ASCII"),
        ("{body}{signature}", None, "unknown placeholder 'body'"),
        ("t={timestamp},v1", ",", "item 'v1' holds 0 placeholders; wanted one"),
        ("t={timestamp}.{signature}", ",", "holds 2 placeholders; wanted one"),
        ("v1={timestamp},v1={signature}", ",", "two items begin alike, with 'v1='"),
        ("{timestamp},v1={signature}", ",", "two items begin alike, with ''"),
        ("{signature}", "::", "item_separator = '::'"),
    ],
)
def test_a_template_that_could_not_be_read_back_is_refused(template: str, separator: str | None, reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        Layout.compile(template, header="X-Sig", separator=separator)
