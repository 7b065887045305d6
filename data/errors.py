"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """A mistake in what the user gave: the message names the file, line and field, and the mend.

    The command line prints the message alone and exits with code 2; a traceback would hide it.
    """
