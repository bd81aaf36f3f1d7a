"""A host shows the token before anything else is sent, or nothing is."""

import pytest

from tests.scan.services.commanding import plan, said
from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import BYPASS, planned
from tests.scan.services.serving import serving
from tocsin.scan import RailError, addresses, prove_ownership

TOKEN = "owned-by-the-desk-2026"


class Owned(Desk):
    """Shows what is in its well-known place."""

    shown = f"other-token-of-the-desk\n{TOKEN}\n"
    status = 200

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/.well-known/tocsin-ownership":
            self.asked.append(asked)
            return Answer(self.status, self.shown)
        return super().answer(asked)


class Lines(Owned):
    """JSON writes line ends as two characters: the desk shows the token alone, in quotes that belong to it."""

    shown = TOKEN


def proved(desk: Desk, token: str) -> None:
    with serving(desk):
        prove_ownership(addresses(planned(desk)), token)


def test_a_host_that_shows_the_token_as_a_line_has_agreed() -> None:
    desk = Lines()
    proved(desk, f'"{TOKEN}"')
    assert [asked.path for asked in desk.asked] == ["/.well-known/tocsin-ownership"]


class Moved(Owned):
    """Answers as if the token were elsewhere, with it in the body all the same."""

    shown = TOKEN
    status = 302


@pytest.mark.parametrize("desk", [Desk(), Lines(), Moved()], ids=lambda desk: type(desk).__name__)
def test_a_host_that_shows_no_or_another_token_or_points_elsewhere_has_not(desk: Desk) -> None:
    token = f'"{TOKEN}"' if isinstance(desk, Moved) else f'"{TOKEN[:-1]}"'
    with pytest.raises(RailError, match="does not prove its ownership: wanted the token as a line of"):
        proved(desk, token)


def test_a_host_that_does_not_answer_has_not_either() -> None:
    desk = Desk()
    with serving(desk):
        found = addresses(planned(desk))
    with pytest.raises(RailError, match="does not prove its ownership: "):
        prove_ownership(found, TOKEN)


@pytest.mark.parametrize(
    "token", ["", "short", "fifteen-letters", "a token with an \u00e9 in it", "a\ttabulator in it...."]
)
def test_a_token_that_anybody_might_show_is_refused(token: str) -> None:
    with pytest.raises(RailError, match="wanted a token of at least 16 printable characters"):
        prove_ownership({}, token)


@pytest.mark.usefixtures("elsewhere", "brisk")
def test_the_command_sends_nothing_else_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Lines()
    with serving(desk):
        name = plan(desk)
        code, _, err = said(capsys, name, "--only", BYPASS, "--ownership-proof", TOKEN)
        assert (code, len(desk.asked)) == (2, 1)
        assert "does not prove its ownership" in err
        assert said(capsys, name, "--only", BYPASS, "--ownership-proof", f'"{TOKEN}"')[0] == 0
