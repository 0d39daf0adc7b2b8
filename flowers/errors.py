"""The errors a person may see: each one is a sentence that says what was wrong and what to do."""


class FlowersError(Exception):
    """The work failed. ``str(error)`` is a sentence for the user; the command line exits with status 1."""


class UsageError(FlowersError):
    """The request itself was mistaken (a bad option, an unknown name). The command line exits with status 2."""


class DecodeError(FlowersError):
    """These bytes are not a photo we can read."""


class DataError(FlowersError):
    """A photo set cannot be found, fetched or used."""


class CheckpointError(FlowersError):
    """A checkpoint cannot be found, read or used."""


class ShareError(FlowersError):
    """A checkpoint cannot be exported, sent or brought back."""
