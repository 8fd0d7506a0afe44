"""The two kinds of failure a caller can act on.

Gateways translate every AWS error into one of them; nobody else reads error codes.
"""


class FootholdError(Exception):
    """A failure with one clear line for a person: it names the thing and the way out."""


class TemporaryError(FootholdError):
    """The same request may succeed later: let it be retried."""


class PermanentError(FootholdError):
    """The same request will fail again: answer and stop."""


class BucketMissingError(PermanentError):
    """There is no bucket of this name. Reconciling creates it; everybody else reports it."""
