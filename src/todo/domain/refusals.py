"""Why something asked for is not done. Each refusal carries one sentence for the person who asked."""


class Refusal(Exception):
    """Base of all refusals; ``str()`` of one is safe to show to the person who asked."""


class InvalidTitle(Refusal):
    """The title breaks a rule; the sentence says which."""


class TaskNotFound(Refusal):
    """There is no task with this id."""

    def __init__(self) -> None:
        super().__init__("Task not found")


class NotYours(Refusal):
    """The task exists and belongs to another person."""

    def __init__(self) -> None:
        super().__init__("This task belongs to another person; ask for one of your own.")


class TaskChanged(Refusal):
    """The task is not, or no longer, at a revision the caller named."""

    def __init__(self) -> None:
        super().__init__("The task has changed since you read it; read it again and repeat.")


class KeyReused(Refusal):
    """The idempotency key was used before, for a task with another title."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another task; send a new key.")


class NotAuthenticated(Refusal):
    """It is not known who asks; the sentence says how to be known."""


class InvalidToken(NotAuthenticated):
    """A token came and was refused; the sentence says why, and of its claims at most the issuer's address."""


class Unavailable(Refusal):
    """Something this service stands on is away for now; asking again later may succeed."""
