"""The exceptions for what a user can mend: a file, a config key, a value."""


class InputError(Exception):
    """A user's input is at fault; the message names the file or key, the value found and the way out.

    Scripts end with exit code 2 on it and without a traceback (see `cellferry.logs.logged`),
    so that an input error is told apart from a passing fault: running it again would not help.
    """


class AllocationError(InputError):
    """What a job was given does not do: too little memory, a GPU that cannot be used.

    Another attempt may be given more, or another node. Exit code 3.
    """
