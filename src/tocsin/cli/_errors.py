"""What a command raises to end with one clear line on standard error."""


class UsageError(Exception):
    """The command line, a file it names or the environment is wrong; nothing was sent. Exit code 2."""


class Unfinished(Exception):  # noqa: N818  not an error of the user: the run could not reach a verdict
    """The run could not reach a verdict. Exit code 3."""
