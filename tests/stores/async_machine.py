"""A state machine of Hypothesis whose steps run in an event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

Opened = tuple[Any, Callable[[], Awaitable[None]]]
"""A store, or several, and what closes them."""

T = TypeVar("T")


class AsyncMachine(RuleBasedStateMachine):
    def opened(self) -> Opened:
        """Called inside the event loop that is used."""
        raise NotImplementedError

    def open_in_loop(self) -> Any:
        self.runner = asyncio.Runner()
        opened, self.close = self.runner.run(self._open())
        return opened

    async def _open(self) -> Opened:
        return self.opened()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.do(self.close())
            self.runner.close()

    def do(self, act: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await act

        return self.runner.run(awaited())


def run_machine(machine: type[AsyncMachine], opened: Callable[[], Opened], *, examples: int) -> None:
    class Machine(machine):  # type: ignore[valid-type,misc] # given at run time
        def opened(self) -> Opened:
            return opened()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
