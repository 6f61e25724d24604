"""DynamoDB streams invoke functions as Lambda's event source mappings do, and rules as EventBridge does.

https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
ministack repeats a failing batch for ever, takes a partial answer for a success, never splits a batch, reads streams
that the function's role may not read, and reads all of them in one thread, so that a slow function delays the others.

What is left is quicker than on AWS: a batch is repeated after 0.2 s, and a stream is one shard.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.responses import _request_account_id, _request_region
from ministack.services import dynamodb, eventbridge, lambda_svc

from .permissions import role_allows

PAUSE_S = 0.2  # before a batch is tried again, or a stream that may not be read is looked at again
READS = ("DescribeStream", "GetShardIterator", "GetRecords", "ListStreams")

Record = dict[str, Any]


def correct() -> None:
    """Have ministack's poller hand each stream with something new to a `Delivery` of its own."""
    lambda_svc._poll_dynamodb_streams = _poll
    eventbridge._dispatch_to_lambda = _invoke_asynchronously


def _invoke_asynchronously(function_arn: str, event: str) -> None:
    """A rule's function is invoked again if it fails, as its EventInvokeConfig says; ministack tries once.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    The pauses are 1 s and 2 s here, not a minute and two.
    """
    function, config, _ = lambda_svc._get_func_record_for_ref(function_arn)
    if function and config:
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(event))


def _poll() -> bool:
    """Start the reading of every stream that has something new; whether there was any."""
    started = False
    for account, region, mapping in lambda_svc._iter_all_esms():
        source = mapping.get("EventSourceArn", "")
        if ":dynamodb:" not in source or mapping["UUID"] in lambda_svc._esm_inflight:
            continue
        _request_account_id.set(account)
        _request_region.set(region)
        delivery = Delivery(mapping, table=source.split("/")[1])
        if delivery.wanted() and delivery.next_records():
            lambda_svc._dispatch_esm_batch(mapping["UUID"], delivery.run)
            started = True
    return started


@dataclass
class Delivery:
    """One mapping at work: it delivers what its stream holds, batch by batch, in order."""

    mapping: dict[str, Any]
    table: str

    def wanted(self) -> bool:
        """Whether the mapping and its function exist, it is enabled, and stands for the table's present stream."""
        table = dynamodb._tables.get(self.table) or {}
        return (
            lambda_svc._esms.get(self.mapping["UUID"]) is self.mapping
            and bool(self.mapping.get("Enabled", True))
            and self._function() is not None
            and table.get("LatestStreamArn") == self.mapping["EventSourceArn"]
        )

    def next_records(self) -> list[Record]:
        """The batch that is due, before the filter."""
        return dynamodb.stream_records_since(self.table, self._position(), self.mapping.get("BatchSize", 100))

    def run(self) -> None:
        """Deliver until nothing is left, or the mapping is not wanted any more."""
        while self.wanted():
            records = self.next_records()
            if not records:
                return
            if not self._may(*(f"dynamodb:{read}" for read in READS), on=self.mapping["EventSourceArn"]):
                time.sleep(PAUSE_S)
                return
            passed = lambda_svc._apply_filter_criteria(records, self.mapping)
            end = self._position() + len(records)
            if passed and not self._deliver(passed, self._retries_max()):
                return
            self._move_to(end)

    def _deliver(self, batch: list[Record], retries_left: float) -> bool:
        """Have the batch processed or given up; False if the mapping is not wanted any more.

        Splitting a batch uses up no retry. Neither does a throttled call: the function did not run.
        """
        while self.wanted():
            result = lambda_svc._execute_function(self._function(), {"Records": batch})
            failed_from = 0 if result.get("error") else self._first_failure(batch, result.get("body"))
            if failed_from is None:
                return True
            batch = batch[failed_from:]
            throttled = bool(result.get("throttle"))
            splits = bool(self.mapping.get("BisectBatchOnFunctionError")) and (failed_from > 0 or len(batch) > 1)
            counts = not throttled and not splits
            given_up = self._given_up(batch, retries_left if counts else 1)
            if given_up:
                self._send_failure(batch, result, given_up)
                return True
            time.sleep(PAUSE_S)
            if splits and not throttled and failed_from == 0:
                middle = len(batch) // 2
                return self._deliver(batch[:middle], retries_left) and self._deliver(batch[middle:], retries_left)
            retries_left -= counts
        return False

    def _first_failure(self, batch: list[Record], answer: Any) -> int | None:
        """Where the batch failed by the function's own account: at the first record it names, or nowhere.

        https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
        An answer that names no record of the batch fails all of it.
        """
        if "ReportBatchItemFailures" not in (self.mapping.get("FunctionResponseTypes") or []):
            return None
        failures = answer.get("batchItemFailures") if isinstance(answer, dict) else None
        if not failures:
            return None
        numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
        named = [failure.get("itemIdentifier") if isinstance(failure, dict) else None for failure in failures]
        if not set(named) <= set(numbers):
            return 0
        return min(numbers.index(number) for number in named)

    def _given_up(self, batch: list[Record], retries_left: float) -> str | None:
        """Why the batch is not tried again, in the failure record's word; None if it is."""
        age_max_s = int(self.mapping.get("MaximumRecordAgeInSeconds") or -1)
        oldest = min(float(record["dynamodb"]["ApproximateCreationDateTime"]) for record in batch)
        if 0 < age_max_s < time.time() - oldest:
            return "MaxRecordAgeExceeded"
        return "RetryAttemptsExhausted" if retries_left <= 0 else None

    def _send_failure(self, batch: list[Record], result: Any, condition: str) -> None:
        """Tell the OnFailure destination, if the function's role may."""
        destination = ((self.mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if destination and self._may("sqs:SendMessage", on=destination):
            source = self.mapping["EventSourceArn"]
            lambda_svc._send_ddb_stream_failure_record(self.mapping, self._function(), batch, source, result, condition)

    def _retries_max(self) -> float:
        retries = int(self.mapping.get("MaximumRetryAttempts", -1))
        return float("inf") if retries < 0 else retries

    def _function(self) -> Any:
        function, _ = lambda_svc._get_func_record_for_qualifier(
            self.mapping["FunctionName"], self.mapping.get("Qualifier")
        )
        return function

    def _may(self, *actions: str, on: str) -> bool:
        role = (self._function().get("config") or self._function())["Role"]
        return not app.AUTH or all(role_allows(role, action, on) for action in actions)

    def _position(self) -> int:
        """Of the next record; what has been trimmed from the stream is passed over."""
        positions = lambda_svc._dynamodb_stream_positions
        return max(positions.get(self.mapping["UUID"], 0), dynamodb.stream_start_position(self.table))

    def _move_to(self, position: int) -> None:
        with lambda_svc._dynamodb_stream_positions_lock:
            lambda_svc._dynamodb_stream_positions[self.mapping["UUID"]] = position
