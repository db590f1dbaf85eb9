"""The exceptions that the command line tells in one line."""


class InputError(ValueError):
    """Wrong use or bad input: the message says in one line what is wrong, where, and how to mend it.

    The command line prints it on stderr and exits with status 2, without a traceback.
    """


class TrainingStopped(RuntimeError):
    """The run had to stop; the message says why and how to go on. What was reached is on disk. Exit status 1."""


def printable(text: str) -> str:
    """The text with line breaks and terminal codes, which a stranger's file may hold, made harmless for printing."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def first_line(error: BaseException) -> str:
    """The message of someone else's error in one line, for a message of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
