from tocsin.report._utc import rfc3339


def test_a_moment_is_told_in_utc_to_the_second() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_795_296_245.999) == "2026-11-21T21:24:05Z"
