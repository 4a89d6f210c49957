"""The few kinds of error; each carries the exit code that `main` leaves with."""

from __future__ import annotations


class ClicklakeError(Exception):
    """What went wrong, where, and what to do about it, in words for the user."""

    exit_code = 1


class ConfigError(ClicklakeError):
    """A wrong flag or configuration value."""

    exit_code = 2


class AccessError(ClicklakeError):
    """Credentials or permissions do not allow what is needed."""

    exit_code = 3


class PublicationError(AccessError):
    """A run is in the lake, but a database or an export could not be brought up to date."""

    exit_code = 7


class InputError(ClicklakeError):
    """The input cannot be trusted as it is; nothing was published."""

    exit_code = 4


class LeaseHeldError(ClicklakeError):
    """Another run is writing this lake."""

    exit_code = 5


class DamagedError(ClicklakeError):
    """The lake's state is not what was written; nothing was changed."""

    can_be_rebuilt = True


class ConflictError(ClicklakeError):
    """A name is taken by somebody else, or a bucket lies in another region."""

    exit_code = 8


class CapacityError(ClicklakeError):
    """A quota is used up, or AWS has no machine to give."""

    exit_code = 9
