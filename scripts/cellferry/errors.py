"""The exceptions for what a user can mend: a file, a config key, a value."""


class InputError(Exception):
    """A user's input is at fault; the message names the file or key, the value found and the way out.

    Scripts end with exit code 2 on it and without a traceback (see `cellferry.core.logs.logged`),
    so that an input error is told apart from a passing fault: running it again would not help.
    """


class RetryableError(InputError):
    """Something is missing that another attempt may find or be given.

    More memory, a GPU that can be used, a file of the workflow's that a file server does not show yet. Exit
    code 3.
    """


class SupersededError(Exception):
    """The run that started this job was replaced by a later one. Exit code 4."""


class DamagedPartError(OSError):
    """A part of a file does not fit the others; whoever opened the file says which one it is."""
