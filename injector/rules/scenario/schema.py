"""The shape of a scenario file, from the one table of keys: its check, and the JSON Schema.

pydantic's core checks the shape; what the values mean is checked in `build`. pydantic itself
makes the JSON Schema, and is imported only for that: it takes a third of a run's start.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from .keys import RULE, SCENARIO, Json, Key, kind_of


def _mapping(keys: dict[str, Key], **more: core_schema.CoreSchema) -> core_schema.CoreSchema:
    """Return the schema of a mapping that has no other keys than these."""
    fields = {
        "$schema" if name == "schema_" else name: core_schema.typed_dict_field(
            core_schema.no_info_plain_validator_function(key.check), required=False
        )
        for name, key in keys.items()
    }
    fields |= {name: core_schema.typed_dict_field(schema) for name, schema in more.items()}
    return core_schema.typed_dict_schema(fields, extra_behavior="forbid")


def check(data: object) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Return what is wrong with the shape: (where, kind, message) of each mistake.

    `where` is the path of keys and indexes; `kind` is `unknown`, `missing` or `value`.
    """
    validator = SchemaValidator(
        _mapping(SCENARIO, rules=core_schema.list_schema(_mapping(RULE), min_length=1))
    )
    try:
        validator.validate_python(data)
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


def json_schema() -> Json:
    """Return the JSON Schema of a scenario file (draft 2020-12)."""
    from pydantic import BaseModel, ConfigDict, Field, create_model

    rule: type[BaseModel] = create_model(
        "Rule",
        __config__=ConfigDict(extra="forbid"),
        __doc__="One rule: which calls, which of them, and what happens to those.",
        **_fields(RULE),
    )
    rules = Field(
        title="Rules",
        description="In file order: every rule that matches counts the call, the first that is "
        "also due gives the outcome.",
        min_length=1,
    )
    scenario: type[BaseModel] = create_model(
        "Scenario",
        __config__=ConfigDict(extra="forbid", title="Scenario of inject"),
        __doc__="What goes wrong in the world of a program, as rules.",
        **_fields(SCENARIO),
        rules=(list[rule], rules),  # type: ignore[valid-type]
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **scenario.model_json_schema(),
    }
    cleaned: Json = _without_defaults(schema)
    return cleaned


def _fields(keys: dict[str, Key]) -> dict[str, Any]:
    from pydantic import Field

    return {
        name: (_annotation(key), Field(None, alias="$schema" if name == "schema_" else None))
        for name, key in keys.items()
    }


def _annotation(key: Key) -> Any:
    from typing import Annotated

    from pydantic import PlainValidator, WithJsonSchema

    schema = {
        **key.schema,
        "title": key.title,
        "description": key.about,
        "examples": list(key.examples),
    }
    return Annotated[Any, PlainValidator(key.check), WithJsonSchema(schema)]


def _without_defaults(schema: Any) -> Any:
    """Drop `default: null`: no key may be null, and editors would offer it."""
    if isinstance(schema, dict):
        return {
            key: _without_defaults(value)
            for key, value in schema.items()
            if not (key == "default" and value is None)
        }
    return [_without_defaults(one) for one in schema] if isinstance(schema, list) else schema
