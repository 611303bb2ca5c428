"""The shape of a scenario file as pydantic models, and the JSON Schema for editors.

pydantic checks the shape; what the values mean is checked in `build`. Imported only when a
scenario is read or the schema is printed, for it takes a tenth of a second.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from .keys import RULE, SCENARIO, Json, Key, kind_of


def _annotation(key: Key) -> Any:
    schema = {
        **key.schema,
        "title": key.title,
        "description": key.about,
        "examples": list(key.examples),
    }
    return Annotated[Any, PlainValidator(key.check), WithJsonSchema(schema)]


def _fields(keys: dict[str, Key]) -> dict[str, Any]:
    return {
        name: (_annotation(key), Field(None, alias="$schema" if name == "schema_" else None))
        for name, key in keys.items()
    }


RuleModel: type[BaseModel] = create_model(
    "Rule",
    __config__=ConfigDict(extra="forbid"),
    __doc__="One rule: which calls, which of them, and what happens to those.",
    **_fields(RULE),
)
_RULES = Field(
    title="Rules",
    description="In file order: every rule that matches counts the call, the first that is also "
    "due gives the outcome.",
    min_length=1,
)
ScenarioModel: type[BaseModel] = create_model(
    "Scenario",
    __config__=ConfigDict(extra="forbid", title="Scenario of inject"),
    __doc__="What goes wrong in the world of a program, as rules.",
    **_fields(SCENARIO),
    rules=(list[RuleModel], _RULES),  # type: ignore[valid-type]
)


def json_schema() -> Json:
    """Return the JSON Schema of a scenario file (draft 2020-12)."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ScenarioModel.model_json_schema(),
    }
    cleaned: Json = _without_defaults(schema)
    return cleaned


def _without_defaults(schema: Any) -> Any:
    """Drop `default: null`: no key may be null, and editors would offer it."""
    if isinstance(schema, dict):
        return {
            key: _without_defaults(value)
            for key, value in schema.items()
            if not (key == "default" and value is None)
        }
    return [_without_defaults(one) for one in schema] if isinstance(schema, list) else schema


def check(data: object) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Return what is wrong with the shape: (where, kind, message) of each mistake.

    `where` is the path of keys and indexes; `kind` is `unknown`, `missing` or `value`.
    """
    try:
        ScenarioModel.model_validate(data)
    except ValidationError as error:
        return [_mistake(one) for one in error.errors(include_url=False)]
    return []


def _mistake(one: Any) -> tuple[tuple[str | int, ...], str, str]:
    where = tuple(one["loc"])
    match one["type"]:
        case "extra_forbidden":
            return where, "unknown", f"unknown key '{where[-1]}'"
        case "missing":
            return where, "missing", f"'{where[-1]}' is missing"
        case "model_type" | "list_type" | "dict_type":
            wanted = "a list" if one["type"] == "list_type" else "a mapping"
            return where, "value", f"expected {wanted}, not {kind_of(one['input'])}"
        case "too_short":
            return where, "value", "the list is empty"
        case _:
            return where, "value", re.sub(r"^Value error, ", "", one["msg"])
