"""A command that could not do what it was asked to."""


class CommandFailed(Exception):
    """The message is all that the operator sees: what was wrong, and what to do.

    Args:
        exit_code: 1 failed, 2 wrong usage.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoServer(CommandFailed):
    """No server runs with this data folder."""
