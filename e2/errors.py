"""The one exception for mistakes that a user can mend."""


class InputError(ValueError):
    """Wrong use or bad input: the message says in one line what is wrong, where, and how to mend it.

    The command line prints it on stderr and exits with status 2, without a traceback.
    """
