from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Screen
from tests.support.serving import Person, Server

Open = Callable[..., Screen]


@pytest.fixture
def server(direct_server: Server) -> Server:
    """Behind a proxy the page is the same; one test looks at it there."""
    return direct_server


@pytest.fixture
def person(server: Server) -> Person:
    return server.person()


@pytest.fixture
def open_screen(chromium: Browser) -> Iterator[Open]:
    """Opens screens; at the end none may have met an error, or anything that its policy forbids."""
    screens: list[Screen] = []

    def open_screen(**context: object) -> Screen:
        screens.append(Screen(chromium, **context))
        return screens[-1]

    yield open_screen
    complaints = [complaint for screen in screens for complaint in screen.complaints]
    for screen in screens:
        screen.context.close()
    assert complaints == []


@pytest.fixture
def screen(open_screen: Open, server: Server, person: Person) -> Screen:
    return open_screen().sign_in(server, person)
