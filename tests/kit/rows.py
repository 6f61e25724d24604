"""A table as AWS shows it: its rows, and each of their versions."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

Json = dict[str, Any]

_deserialize = TypeDeserializer().deserialize


def _plain(item: Json) -> Json:
    return {name: _deserialize(value) for name, value in item.items()}


class Rows:
    """Reads one table through `aws`, which makes a client for a service. `key` is its hash key's name."""

    def __init__(self, aws: Any, table: str, key: str) -> None:
        self.table = table
        self._key = key
        self._dynamodb, self._streams = aws("dynamodb"), aws("dynamodbstreams")
        self._lock = threading.Lock()
        self._versions: dict[str, list[Json]] = defaultdict(list)
        self._iterator: str | None = None

    def row(self, key: str) -> Json | None:
        """The row as it is now."""
        item = self._dynamodb.get_item(TableName=self.table, Key={self._key: {"S": key}}, ConsistentRead=True)
        return _plain(item["Item"]) if "Item" in item else None

    def rows(self) -> dict[str, Json]:
        """Every row, by its key."""
        return self._scanned()

    def open_rows(self) -> dict[str, Json]:
        """The rows that are INIT, by their key."""
        return self._scanned(
            FilterExpression="#status = :init",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":init": {"S": "INIT"}},
        )

    def _scanned(self, **choice: Any) -> dict[str, Json]:
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True, **choice)
        rows = [_plain(item) for page in pages for item in page["Items"]]
        return {row[self._key]: row for row in rows}

    def set_while_init(self, key: str, attribute: str, value: str) -> None:
        """Write a text into a row that is INIT still and has such an attribute."""
        try:
            self._dynamodb.update_item(
                TableName=self.table,
                Key={self._key: {"S": key}},
                UpdateExpression="SET #a = :value",
                ConditionExpression="attribute_exists(#a) AND #s = :init",
                ExpressionAttributeNames={"#a": attribute, "#s": "status"},
                ExpressionAttributeValues={":value": {"S": value}, ":init": {"S": "INIT"}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return  # it has settled meanwhile

    def versions(self, key: str) -> list[Json]:
        """The row after each write that was applied, the first one first."""
        with self._lock:
            self._follow_stream()
            return list(self._versions[key])

    def all_versions(self) -> dict[str, list[Json]]:
        with self._lock:
            self._follow_stream()
            return {key: list(found) for key, found in self._versions.items()}

    def _follow_stream(self) -> None:
        if self._iterator is None:
            self._iterator = self._start_of_stream()
        while True:
            answer = self._streams.get_records(ShardIterator=self._iterator, Limit=1000)
            self._iterator = answer["NextShardIterator"]
            for record in answer["Records"]:
                version = _plain(record["dynamodb"]["NewImage"])
                self._versions[version[self._key]].append(version)
            if not answer["Records"]:
                return

    def _start_of_stream(self) -> str:
        arn = self._streams.list_streams(TableName=self.table)["Streams"][0]["StreamArn"]
        [shard] = self._streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator: str = self._streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return iterator

    def text_of_stream(self) -> Iterator[str]:
        """Every record of the table's stream: keys, the row before and the row after."""
        iterator = self._start_of_stream()
        while True:
            answer = self._streams.get_records(ShardIterator=iterator, Limit=1000)
            iterator = answer["NextShardIterator"]
            for record in answer["Records"]:
                yield json.dumps(record["dynamodb"], default=str)
            if not answer["Records"]:
                return
