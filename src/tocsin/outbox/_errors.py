"""What the outbox raises. PURE."""


class OutboxError(ValueError):
    """What was given is wrong: a message, a destination, a configuration. Trying again changes nothing."""


class OutboxUnavailable(Exception):  # noqa: N818  not an error of the caller's
    """The database is locked, full or down. The same call may succeed later; nothing was written."""
