"""What is wrong with a command."""


class CurlError(ValueError):
    """The command is none, or does something that is not understood. The message has no value, which may be secret."""
