"""The table and the indexes that the code uses, held against what the template declares."""

from typing import Any

from tests.kit.template import RESOURCES


def assert_declared(table: str, item: Any, used: dict[Any, list[str]]) -> None:
    """The template declares this model's key, and the indexes `used` with these keys and what they project."""
    properties = RESOURCES[table]["Properties"]
    key = item._hash_keyname
    assert properties["KeySchema"] == [{"AttributeName": key, "KeyType": "HASH"}]
    declared = {index["IndexName"]: index for index in properties["GlobalSecondaryIndexes"]}
    assert set(declared) == {index.Meta.index_name for index in used}
    for index, keys in used.items():
        meta = index.Meta
        one = declared[meta.index_name]
        assert [name["AttributeName"] for name in one["KeySchema"]] == keys
        assert one["Projection"]["ProjectionType"] == meta.projection.projection_type
        assert set(one["Projection"].get("NonKeyAttributes", [])) == set(meta.projection.non_key_attributes or [])
    defined = {attribute["AttributeName"] for attribute in properties["AttributeDefinitions"]}
    assert defined == {key, *(name for keys in used.values() for name in keys)}
