"""Why something that was asked for is not done. Each refusal carries one sentence for the person who asked."""


class Refusal(Exception):
    """Base of all refusals; ``str()`` of one is safe to show to the person who asked."""


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


class TaskChanged(Refusal):
    """The task is no longer at a revision that the caller named."""

    def __init__(self) -> None:
        super().__init__("The task has changed since you read it; read it again and repeat.")


class KeyReused(Refusal):
    """The idempotency key was used before, for another request."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request; send a new key.")


class NotAuthenticated(Refusal):
    """It is not known who asks; the sentence says how to authenticate."""


class InvalidToken(NotAuthenticated):
    """A token came and was rejected; the sentence says why, and of its claims at most the issuer's origin."""


class Unavailable(Refusal):
    """Something that the service depends on is away for now; the same request may succeed later."""


class OperatorNeeded(Refusal):
    """Retrying will not help: whoever runs the service has to repair something. The sentence is for them, and says
    nothing to those who only call the API."""
