"""The domain's exceptions: each refuses a request, with one sentence for the person who made it."""


class Refusal(Exception):
    """``str()`` of one, unless it is OperatorNeeded, is safe to show to the person who made the request."""


class InvalidField(Refusal):
    """A field of a task breaks its rule; the sentence says which rule."""

    def __init__(self, sentence: str, *path: str | int) -> None:
        """``path`` leads to the wrong value: the field's name, then names and indexes inside its value."""
        super().__init__(sentence)
        self.path = path


class TaskNotFound(Refusal):
    """There is no task with this id."""

    def __init__(self) -> None:
        super().__init__("Task not found")


class NotYours(Refusal):
    """The task exists and belongs to another person."""

    def __init__(self) -> None:
        super().__init__("This task belongs to another person; ask for one of your own.")


class IdTaken(Refusal):
    """The id of a new task belongs to another one, or to one that was removed."""

    def __init__(self) -> None:
        super().__init__("There is, or was, another task with this id; send a new id.")


class TaskChanged(Refusal):
    """The task is no longer at a revision that the caller named."""

    def __init__(self) -> None:
        super().__init__("The task has changed since you read it; read it again and repeat.")


class ChangesForgotten(Refusal):
    """The changes since a point in time are no longer known."""

    def __init__(self) -> None:
        super().__init__("What has changed since then is no longer known; begin again without since.")


class KeyReused(Refusal):
    """The idempotency key was used before, for another request."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request; send a new key.")


class NotAuthenticated(Refusal):
    """The caller is unknown; the sentence says how to authenticate."""


class InvalidToken(NotAuthenticated):
    """The token was rejected; the sentence says why, and shows at most the issuer's origin of its claims."""


class Unavailable(Refusal):
    """Something that the service depends on is away for now; the same request may succeed later."""


class OperatorNeeded(Refusal):
    """Retrying will not help: the operator of the service has to repair something. The sentence is for them alone, and
    never shown to clients of the API."""
