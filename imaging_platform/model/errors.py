"""One tree of errors; each says whether a retry can help and what to do next."""

from __future__ import annotations


class PlatformError(Exception):
    """
    An expected failure, told in the words of the field.

    Parameters
    ----------
    message
        What was expected, what was found, and where. Never the value of an
        identifying element; its keyword is allowed.
    fix
        What the reader does next, as a sentence.

    Attributes
    ----------
    permanent
        True when the same input and settings always fail again, so that a
        retry is useless.
    """

    permanent: bool = True

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class BadConfig(PlatformError):
    """A study file, a rule or a command line that cannot be used."""


class BadInput(PlatformError):
    """Data that cannot be read or is not what it claims to be."""


class Held(PlatformError):
    """Something waits for a person: it was neither published nor lost."""


class IdentityLeak(Held):
    """An identifier of the subject was found in what was about to be published."""


class MissingKey(PlatformError):
    """The study's secret key is absent, or not the one the study was made with."""


class InvalidOutput(PlatformError):
    """A stage ran but its result breaks the standard that it must obey."""


class MissingInput(PlatformError):
    """A stage was asked for before what it reads had been published."""


class ToolFailed(PlatformError):
    """An outside program failed; another try may succeed."""

    permanent = False


class OutOfMemory(ToolFailed):
    """An outside program wanted more memory than it was given."""

    permanent = True


class Timeout(ToolFailed):
    """An outside program did not end within its time and was stopped."""

    permanent = True


class Licence(ToolFailed):
    """An outside program has no valid licence."""

    permanent = True


class BadOutput(ToolFailed):
    """An outside program ended well, but what it wrote is missing or cannot be read."""

    permanent = True


class Cancelled(ToolFailed):
    """A person, or the end of a run, stopped an outside program."""

    permanent = True
