"""Exceptions for problems that a user can correct: a file, a config key, a value."""


class InputError(Exception):
    """A user's input error; the message names the file or key, the value and the remedy.

    Scripts end with exit code 2 and without a traceback (see `cellferry.core.logs.logged`): unlike a
    temporary fault, an input error returns when the job is run again.
    """


class RetryableError(InputError):
    """A missing resource that a later attempt may get.

    Examples: more memory, a usable GPU, a workflow file that a file server does not show yet. Exit code 3.
    """


class SupersededError(Exception):
    """A later run replaced the run that started this job. Exit code 4."""


class DamagedPartError(OSError):
    """A part of a file does not fit the others; the caller that opened the file adds its name."""
