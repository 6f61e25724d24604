"""The schemas in docs/events, and whether an event is as they describe it, with nothing in it that they do not name."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.kit import ROOT

Json = dict[str, Any]

DOCS = ROOT / "docs" / "events"
SCHEMAS: dict[str, Json] = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8"))
    for path in sorted(DOCS.glob("*.schema.json"))
}
SHOWN = ("order", "agreement", "refund", "reconciliation")
"""What events show: the schemas of these are shared."""

KINDS = set(SCHEMAS) - set(SHOWN)
SAMPLES: dict[str, Json] = {kind: json.loads((DOCS / f"{kind}.json").read_text("utf-8")) for kind in sorted(KINDS)}

_REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def faults(event: Json) -> list[str]:
    """What is wrong with an event of the bus, or a sample, by its kind's schema."""
    schema = SCHEMAS[event["detail-type"]]
    found = [error.message for error in Draft202012Validator(schema, registry=_REGISTRY).iter_errors(event)]
    detail = event["detail"]
    undescribed = set(detail) - set(schema["properties"]["detail"]["properties"])
    for subject in set(SHOWN) & set(detail):
        undescribed |= set(detail[subject] or ()) - set(SCHEMAS[subject]["properties"])
    return found + [f"nobody describes {name}" for name in sorted(undescribed)]
