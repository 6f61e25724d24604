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
        of_index = {name.attr_name: name for name in index.Meta.attributes.values()}
        assert [name["KeyType"] for name in one["KeySchema"]] == ["HASH", "RANGE"]
        for name in one["KeySchema"]:
            attribute = of_index.pop(name["AttributeName"])
            assert (attribute.is_hash_key, attribute.is_range_key) == (
                name["KeyType"] == "HASH",
                name["KeyType"] == "RANGE",
            )
            keys.add(attribute.attr_name)
        assert not of_index
        assert one["Projection"]["ProjectionType"] == projection.projection_type
        assert set(one["Projection"].get("NonKeyAttributes", [])) == set(projection.non_key_attributes or [])
    assert {attribute["AttributeName"] for attribute in properties["AttributeDefinitions"]} == keys
