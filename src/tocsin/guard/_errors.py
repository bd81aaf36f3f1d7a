"""What goes wrong around a guarded operation, and whose fault it is. PURE.

Rule: GuardError is our own misuse and ends the start-up; StoreError is the database, and its kind says whether the same
request may be sent again; KeyRefused is the sender; TransactionMisuse is the handler. None of them holds a secret, a
signature or a bound value.
"""


class GuardError(ValueError):
    """The guard is declared or called wrongly. Raised at start-up wherever it can be told by then."""


class StoreError(Exception):
    """The store could not do what it was asked."""


class StoreUnavailable(StoreError):  # noqa: N818  it names a state of the store
    """The store is locked, full or down, and nothing was committed. The same request may be sent again."""


class KeyInUse(StoreUnavailable):
    """Another process was still applying this very key when the wait ended."""


class TransactionConflict(StoreError):  # noqa: N818  it names what happened to the transaction
    """The database undid the transaction for the sake of another one: nothing was committed, and it may run again."""


class GroupBroken(TransactionConflict):
    """The transaction was shared with other requests and cannot be committed: it runs again at once, alone.

    Alone, it cannot happen to it again, so this is no attempt of its own that failed.
    """


class CommitUnknown(StoreError):  # noqa: N818  it names what is not known
    """The connection failed during COMMIT: only taking the claim again tells whether it was applied."""


class TransactionBroken(StoreError):  # noqa: N818  it names what the handler did
    """The handler's transaction does not stand any more, or cannot be committed as the handler left it."""


class TransactionMisuse(Exception):  # noqa: N818  it is raised inside a handler, about the handler
    """A handler used its transaction in a way that would take it out of the guard's hands.

    Beginning, committing or rolling back, attaching a database, writing to the guard's own tables, using it from
    another thread or after the handler has ended.
    """


class KeyRefused(Exception):  # noqa: N818  it is a verdict on a request
    """The verified request has no usable idempotency key. The text says what was found and what is wanted."""


class AnswerTooLarge(Exception):  # noqa: N818  it names what the handler returned
    """The handler's answer is longer than the guard stores.

    Args:
        most_bytes: the limit, as set by the option max_answer_bytes.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self.most_bytes = most_bytes

    def __str__(self) -> str:
        return f"the answer is longer than max_answer_bytes = {self.most_bytes}"
