"""The one error people see: a code and one line that says what, where and how to mend it."""


class WorkerError(Exception):
    """A refusal with a closed-catalogue code (`bad_rows`, `bad_config`, `bad_bundle`, `too_long`, `training_failed`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
