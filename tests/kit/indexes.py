"""The table and the indexes that the code uses, held against what the template declares."""

from typing import Any

from tests.kit.template import RESOURCES


def assert_declared(table: str, item: Any, *used: Any) -> None:
    """The template declares this model's key, and the indexes `used` with their keys and what they project."""
    properties = RESOURCES[table]["Properties"]
    key = item._hash_keyname
    assert properties["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    declared = {index["IndexName"]: index for index in properties["GlobalSecondaryIndexes"]}
    assert set(declared) == {index.Meta.index_name for index in used}
    keys = {key}
    for index in used:
        one, projection = declared[index.Meta.index_name], index.Meta.projection
        assert [name["KeyType"] for name in one["KeySchema"]] == ["HASH", "RANGE"]
        kinds = {
            name.attr_name: [
                kind for kind, is_it in (("HASH", name.is_hash_key), ("RANGE", name.is_range_key)) if is_it
            ]
            for name in index.Meta.attributes.values()
        }
        assert kinds == {name["AttributeName"]: [name["KeyType"]] for name in one["KeySchema"]}
        keys |= kinds.keys()
        assert one["Projection"]["ProjectionType"] == projection.projection_type
        assert set(one["Projection"].get("NonKeyAttributes", [])) == set(projection.non_key_attributes or [])
    assert {attribute["AttributeName"] for attribute in properties["AttributeDefinitions"]} == keys
