"""What stops a foreign document from becoming a plan."""


class InputError(ValueError):
    """No plan can be made of the document.

    The message begins with the file and, where it is known, the line; then come the value refused and the value wanted.
    No value of a header, a body or a URL's query is in it: any of them may be a secret.
    """
