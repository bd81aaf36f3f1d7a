import json
import subprocess
import sys

# What a verifier in a web server must not drag in.
HEAVY = {"asyncio", "socket", "ssl", "http", "email", "tomllib", "sqlite3", "datetime", "threading", "h11", "rich"}


def test_importing_signing_loads_nothing_that_opens_draws_or_waits() -> None:
    script = (
        "import sys; before = set(sys.modules); import tocsin.signing; import json;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True, text=True).stdout
    assert set(json.loads(loaded)) & HEAVY == set()


def test_everything_that_is_offered_is_there() -> None:
    script = "import tocsin.signing as s; assert all(hasattr(s, name) for name in s.__all__)"
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
