"""What the words of a command are, bash itself says."""

import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.curl import CurlError
from tocsin.curl._shell import words_of

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no program bash; apt-get install bash")
MARKS = [*" \t\n\\'\"$`&;|<>()*?[]{}~#!=:,./%@^-aβ1", "\\\n", "{{id}}", "{}", "..", " #", "='", "\\ "]


def words_of_bash(command: str) -> list[str]:
    script = f"printf '%s\\0' {command}"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"HOME": "/h"}, cwd="/")
    return ran.stdout.decode().split("\0")[:-1]


@settings(max_examples=400, deadline=None)
@given(line=st.lists(st.sampled_from(MARKS), max_size=12).map("".join))
@example("\"one\\\ntwo\" 'one\\\ntwo' o\\\nne")
@example("a=~ b:~ c/~ =x a~b ''~ ''#")
@example("a{x,y} {1..3} {{id}},b} {},{} } ]")
@example("http://127.0.0.1/a?x=1&y=2")
@example('"\\a \\$ \\` \\" \\\\ !"')
@example("{{id}},}")
@example("/b*n")
@example("/bi[n]")
@example("/bi?")
@example("http://[::1]:8000/*?a")
def test_a_line_that_is_read_has_the_words_that_bash_makes_of_it(line: str) -> None:
    try:
        words = words_of(f"x {line}")
    except CurlError:
        return
    assert words_of_bash(f"x {line}") == words
