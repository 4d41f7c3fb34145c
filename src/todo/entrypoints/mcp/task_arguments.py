"""A task as tools take it. The fields derive from the domain's: a new one needs no line here."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from todo.domain.fields import Choice, Due
from todo.domain.task import FIELDS, Field
from todo.http_contract.documents import DueDocument


class Strict(Struct, forbid_unknown_fields=True):
    """To ignore what is misspelled would do something else than was asked for."""


class DueArgument(DueDocument, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Calendar and wall clock: 2026-12-24, 17:30, Europe/Berlin."""  # shown to clients


def _make_type(field: Field) -> Any:
    kind = DueArgument if field.type == Due | None else field.type
    if isinstance(field.rule, Choice):  # clients see the words; the domain refuses others, in a sentence
        kind = Annotated[str, Meta(extra_json_schema={"enum": list(field.rule.words)})]
    return kind | None if field.rule.is_clearable else kind


TYPES = {field.name: _make_type(field) for field in FIELDS}
_OPTIONAL = {name: (name, kind | UnsetType, UNSET) for name, kind in TYPES.items()}

NewTask: Any = defstruct(
    "NewTask",
    [(name, TYPES[name]) if rule.is_required else _OPTIONAL[name] for name, _, rule in FIELDS if rule.at_creation],
    bases=(Strict,),
)
_Fields: Any = defstruct("_Fields", list(_OPTIONAL.values()), bases=(Strict,))
Change: Any = defstruct("Change", [("id", UUID), ("if_revision", int | None, None)], bases=(_Fields,), kw_only=True)


def get_fields(change: Any) -> Struct:
    """What a Change names beside the task."""
    fields: Struct = _Fields(**{name: getattr(change, name) for name in _OPTIONAL})
    return fields
