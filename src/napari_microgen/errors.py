"""Errors meant for the user: one sentence that says what is wrong and how to mend it."""


class MicrogenError(Exception):
    """A failure with a message for the user; never shown with a traceback."""


class InputError(MicrogenError, ValueError):
    """The data, file or setting that was given cannot be used; nothing has been changed."""


class RunError(MicrogenError):
    """A run that had started could not go on; what was made so far is kept."""


class Stopped(MicrogenError):
    """The user stopped a run; the message says what was kept."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch has no type of its own on a CPU."""
    said = str(error).lower()
    told = (
        "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory",
        "alloc_failed",
    )  # fmt: skip
    return isinstance(error, MemoryError) or any(words in said for words in told)
