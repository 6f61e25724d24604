"""docs/openapi.yaml: its routes are the template's, and its examples are what its schemas say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from autodebit import errors
from autodebit.errors import AutodebitError
from jsonschema import Draft202012Validator

from tests.kit import ROOT
from tests.kit.template import RESOURCES

type Json = dict[str, Any]

DOCUMENT: Json = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text("utf-8"))
PATHS: dict[str, Json] = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
METHODS = {"get", "post", "delete", "put", "patch"}


def routes(paths: dict[str, Json]) -> set[tuple[str, str]]:
    return {(path, method) for path, item in paths.items() for method in item if method in METHODS}


def resolved(node: Json) -> Json:
    """What a `$ref` within the document stands for."""
    while "$ref" in node:
        place: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        node = place
    return node


def media() -> Iterator[tuple[str, Json]]:
    """Every body that the document describes, with where it stands."""
    for path, method in sorted(routes(DOCUMENT["paths"])):
        operation = DOCUMENT["paths"][path][method]
        bodies = {"request": operation["requestBody"]} if "requestBody" in operation else {}
        for name, body in (bodies | operation["responses"]).items():
            for kind, described in resolved(body).get("content", {}).items():
                yield f"{method} {path} {name} {kind}", described


MEDIA = dict(media())


def test_the_routes_are_those_of_the_template() -> None:
    assert routes(DOCUMENT["paths"]) == routes(PATHS)


@pytest.mark.parametrize("place", MEDIA)
def test_an_example_is_what_its_schema_says(place: str) -> None:
    described = MEDIA[place]
    examples = [resolved(one)["value"] for one in described.get("examples", {}).values()]
    if "example" in described:
        examples.append(described["example"])
    validator = Draft202012Validator(described["schema"] | {"components": DOCUMENT["components"]})
    for example in examples:
        assert [error.message for error in validator.iter_errors(example)] == []


def test_an_agreement_is_the_one_that_events_show() -> None:
    shown = json.loads((ROOT / "docs/events/agreement.schema.json").read_text("utf-8"))
    described = DOCUMENT["components"]["schemas"]["Agreement"]
    assert set(described["properties"]) == {*shown["properties"], "qrCode"}, "nothing is told while the code is out"
    assert set(described["required"]) == set(shown["required"])


def test_every_answer_but_a_fault_has_an_example_somewhere() -> None:
    shown = {
        name.split()[2] for name, described in MEDIA.items() if described.get("examples") or "example" in described
    }
    assert {"200", "201", "202", "400", "404", "409", "502", "503", "request"} <= shown


def test_a_problem_in_an_example_is_one_that_the_code_answers() -> None:
    titles = {
        kind.title for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AutodebitError)
    }
    problems = [one["value"] for one in DOCUMENT["components"]["examples"].values() if "title" in one["value"]]
    assert [problem["title"] for problem in problems if problem["title"] not in titles] == []


def test_merchants_sign_and_notifications_bear_alipays_signature() -> None:
    for path, method in routes(DOCUMENT["paths"]):
        operation = DOCUMENT["paths"][path][method]
        assert (operation.get("security") == []) is path.startswith("/notifications/")
