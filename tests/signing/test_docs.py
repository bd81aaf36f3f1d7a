"""docs/signing.md says what is so."""

import re
import tomllib
from pathlib import Path

from tocsin.signing import MessageId, Scheme, scheme_from_table
from tocsin.signing._content import COMPONENTS

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text(encoding="utf-8")


def test_the_scheme_of_the_page_can_be_declared() -> None:
    block = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    scheme = scheme_from_table(tomllib.loads(block[1])["signing"])
    assert scheme == Scheme(
        name="orders",
        content="{timestamp}.{header:X-Event}.{body}",
        header="X-Orders-Signature",
        value="t={timestamp},v1={signature}",
        item_separator=",",
        message_id=MessageId(pointer="/id"),
    )


def test_every_placeholder_is_on_the_page() -> None:
    told = {name.partition(":")[0] for name in re.findall(r"`\{([^}`]+)\}`", PAGE)}
    assert set(COMPONENTS) | {"scope"} == told
