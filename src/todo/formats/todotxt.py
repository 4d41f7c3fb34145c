"""Writes and reads todo.txt: one task per line (http://todotxt.org, https://github.com/todotxt/todo.txt)."""

import io
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote_to_bytes

from todo.domain.fields import Due
from todo.domain.task import Task
from todo.formats.parts import join_parts
from todo.formats.records import Collector, Draft, digest

_LETTERS = {"high": "A", "medium": "B", "low": "C"}
_PRIORITIES = {letter: word for word, letter in _LETTERS.items()}

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LINE = re.compile(
    rf"(?:(?P<done>x) (?:{_DATE} ){{0,2}}(?:\((?P<p1>[A-Z])\) )?|(?:\((?P<p2>[A-Z])\) )?(?:{_DATE} )?)(?P<rest>.*)",
    re.DOTALL,
)
# Words that say more than themselves, which in a title begin with a percent code instead, as do words that look so.
_SPECIAL = re.compile(r"[@+]|(?:due|time|tz|pri|rec):|%[0-9A-F]{2}")
_LINE_LENGTH = 100_000  # the most characters of a line that is read, of which a task can hold a tenth
_LINE_BREAK = re.compile("\r\n|\r|\n")
_KEY = re.compile(rf"(due):({_DATE})|(time):([0-9]{{2}}:[0-9]{{2}})|(tz):(\S+)|(pri):([A-Z])")
_QUOTED = re.compile("%[2-7][0-9A-F]")
_LABEL = re.compile(r"[@+](\S+)")


def write_todotxt(tasks: Iterable[Task]) -> Iterator[bytes]:
    """In UTF-8, in the order given. Line breaks in titles become spaces; notes and IDs are not in it.

    Parts that other programs do not know: ``time:17:30`` and ``tz:Europe/Berlin`` beside ``due:``, and white space in
    labels (``@deep%20work``) and the first character of words in a title that would be taken for something else
    (``%40home``) as percent codes (RFC 3986, section 2.1).
    """
    return join_parts(map(_write_line, tasks))


def _write_line(task: Task) -> str:
    words = _LINE_BREAK.sub(" ", task.title).split(" ")
    words = [_quote_first(word) if _SPECIAL.match(word) else word for word in words]
    if task.completed and re.match(r"\([A-Z]\)$", words[0]):
        words[0] = _quote_first(words[0])
    words += [f"@{_quote_label(label)}" for label in task.labels]
    if task.due is not None:
        keys = zip(("due", "time", "tz"), task.due, strict=True)
        words += [f"{key}:{value}" for key, value in keys if value is not None]
    letter = f"({_LETTERS[task.priority]}) " if task.priority is not None else ""
    created = task.created_at.date().isoformat()
    if not task.completed:
        return f"{letter}{created} {' '.join(words)}\n"
    done = (task.completed_at or task.updated_at).date().isoformat()
    return f"x {done} {created} {letter}{' '.join(words)}\n"


def _quote_first(word: str) -> str:
    return f"%{ord(word[0]):02X}{word[1:]}"


def _quote_label(label: str) -> str:
    return re.sub(r"[\s%]", lambda match: quote(match[0], safe=""), label)


def _unquote(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:  # it was not ours
        return text


def read_todotxt(text: str, collector: Collector) -> None:
    """Contexts and projects become labels, wherever they stand in the line. Priorities below C are low."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if len(line) > _LINE_LENGTH:
            collector.lose(f"line {number}", f"It has more than {_LINE_LENGTH:,} characters and was left out.")
        elif line.strip():
            collector.add(_read_line(f"line {number}", line.removesuffix("\n")))


def _read_line(place: str, line: str) -> Draft:
    match = _LINE.fullmatch(line)
    assert match is not None  # each part of it may be missing
    rest = match["rest"]
    draft = Draft(place=place, source_id=digest(line), completed=match["done"] is not None)
    title, keys = list[str](), dict[str, str]()
    for word in rest.split(" "):
        label, key = _LABEL.fullmatch(word), _KEY.fullmatch(word)
        name, value = filter(None, key.groups()) if key else ("", "")
        if label:
            draft.labels.append(_unquote(label[1]))
        elif key and name not in keys:
            keys[name] = value
        else:
            if word.startswith("rec:"):
                draft.lose("It repeats; only this one is taken.")
            title.append(_unquote(word[:3]) + word[3:] if _QUOTED.match(word) else word)
    letter = match["p1"] or match["p2"] or keys.pop("pri", None)
    if letter is not None:
        draft.priority = _PRIORITIES.get(letter, "low")
        if letter not in _PRIORITIES:
            draft.lose(f"The priority {letter} became low.")
    if "due" in keys:
        time = keys.pop("time", None)
        draft.due = Due(keys.pop("due"), time, keys.pop("tz", None) if time is not None else None)
    title += [f"{name}:{value}" for name, value in keys.items()]  # of no due date
    draft.title = " ".join(title).strip() or rest
    return draft
