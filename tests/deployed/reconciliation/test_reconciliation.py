"""Alipay's report files in the stack's inbox: nothing differs where nothing was changed, and what was changed is found.

The simulated Alipay writes the files of its whole day. A test takes the lines of its own payments from them, since the
stack has the payments of other tests too, some of which Alipay and we are meant to see differently.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.kit import ROOT
from tests.kit.books import ROW_BY_HAND
from tests.kit.faults import PUT_EVENTS
from tests.kit.merchant import new_id
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually
from tests.rules.reconciliation.alipay_files import EDITIONS, NEW, OLD, Table, csv_bytes, xlsx_bytes

Json = dict[str, Any]

ENCODERS: dict[str, Callable[[Table], bytes]] = {"csv": csv_bytes, "xlsx": xlsx_bytes}


class Books:
    """The reports bucket, the files that Alipay writes, and a few payments of this test's own."""

    def __init__(self, stack: Deployment, folder: Path) -> None:
        self.stack = stack
        self._folder = folder
        self._s3 = stack.aws("s3")
        self._bucket = stack.outputs["ReportsBucket"]

    def pay(self) -> str:
        """A payment whose row the test may change by hand; pay settles it, and nothing comes after."""
        payment_request_id, answer = self.stack.pay(ROW_BY_HAND, notify="lost")
        assert answer.json["status"] == "SUCCESS"
        return payment_request_id

    def refund(self, payment_request_id: str, value: str = "500") -> str:
        refund_request_id = new_id("books-ref")
        body = {"refundRequestId": refund_request_id, "refundAmount": {"currency": "HKD", "value": value}}
        answer = self.stack.merchant.call("POST", f"/payments/{payment_request_id}/refunds", json.dumps(body))
        assert answer.json["status"] == "SUCCESS", answer.text
        return refund_request_id

    def day(self, edition: str, *payments: str, report: str = "transactionItems") -> Table:
        """Today's lines of these payments and their refunds, as Alipay writes them."""
        files = self.stack.alipay.reports(str(self._folder), editions=[edition], formats=["csv"])
        table: Table = []
        for file in files:
            if Path(file).name.startswith(report):
                with Path(file).open(newline="", encoding="utf-8") as rows:
                    table += list(csv.reader(rows))
        header = table[0]
        known = {self.stack.alipay.payment(payment)["paymentId"] for payment in payments}  # type: ignore[index]
        of_mine = [row for row in table if known & set(row)]
        return [header, *of_mine, ["<END>"]]

    def put(self, name: str, content: bytes) -> None:
        self.put_key(f"inbox/{name}", content)

    def put_key(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=content)

    def receive(self, table: Table, form: str = "csv", name: str | None = None) -> Json:
        """What came of a file of these lines."""
        name = name or f"{new_id('transactionItems')}_000.{form}"
        self.put(name, ENCODERS[form](table))
        return eventually(lambda: self.summary(name), f"a result of {name}")

    def summary(self, name: str) -> Json | None:
        found = self.result(name, "summary.json")
        summary: Json | None = json.loads(found) if found else None
        return summary

    def result(self, name: str, file: str) -> str | None:
        try:
            return str(self._s3.get_object(Bucket=self._bucket, Key=f"results/{name}/{file}")["Body"].read().decode())
        except self._s3.exceptions.NoSuchKey:
            return None

    def is_noted(self, name: str) -> bool:
        """Whether the function has noted that the file was told."""
        listed = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=f"state/files/{name}")
        return "Contents" in listed

    def differences(self, summary: Json) -> list[tuple[str, str]]:
        found = self.result(summary["file"], "differences.csv")
        assert found is not None
        return [(row["difference"], row["requestId"]) for row in csv.DictReader(found.splitlines())]

    def change_row(self, payment_request_id: str, expression: str, **values: str) -> None:
        """The hand of somebody who may write into the table."""
        self.stack.aws("dynamodb").update_item(
            TableName=self.stack.description["ordersTable"],
            Key={"paymentRequestId": {"S": payment_request_id}},
            UpdateExpression=expression,
            ExpressionAttributeNames={"#status": "status"} if "#status" in expression else {"#d": "settledDay"},
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
        )


@pytest.fixture
def books(fast: Deployment, tmp_path: Path) -> Books:
    return Books(fast, tmp_path)


def changed(table: Table, row: int, column: str, value: str) -> Table:
    lines = [[*line] for line in table]
    lines[row][lines[0].index(column)] = value
    return lines


@pytest.mark.parametrize("form", ENCODERS)
@pytest.mark.parametrize("edition", EDITIONS)
def test_a_day_that_nobody_touched_agrees(books: Books, edition: str, form: str) -> None:
    payments = [books.pay() for _ in range(3)]
    books.refund(payments[0])
    books.refund(payments[0], "990")
    summary = books.receive(books.day(edition, *payments), form)
    assert (summary["status"], summary["lines"]) == ("AGREES", 5)
    assert books.differences(summary) == []


@pytest.mark.fault("F64")
def test_what_came_of_a_file_is_told_once_for_each_new_file(books: Books, fast: Deployment) -> None:
    listener = fast.shop
    table = books.day(NEW, books.pay())
    summary = books.receive(table)
    name = summary["file"]
    (event,) = eventually(lambda: listener.about(name), "the event")
    assert event["detail-type"] == "ReconciliationFinished"
    assert (event["detail"]["eventId"], event["detail"]["sequence"]) == (f"{name}:1", 1)
    assert event["detail"]["occurredAt"] == summary["finishedAt"]
    assert event["detail"]["reconciliation"] == summary
    eventually(lambda: books.is_noted(name), "the note that it was told")
    books.put(name, csv_bytes(table))  # the same file again changes nothing
    again = books.receive(table, name=f"copy-{name}")
    assert again["newDifferences"] == 0
    assert [event["detail"]["sequence"] for event in listener.about(name)] == [1]
    assert books.summary(name) == summary


@pytest.mark.fault("F66")
@pytest.mark.parametrize("edition", EDITIONS)
def test_one_change_of_each_kind_is_found_under_its_name(books: Books, edition: str) -> None:
    paid = [books.pay() for _ in range(6)]
    refund = books.refund(paid[5])
    table = books.day(edition, *paid)
    at = {payment: next(row for row, line in enumerate(table) if payment in line) for payment in paid}
    unknown = new_id("books-unknown")
    table = changed(table, at[paid[0]], "transactionRequestId", unknown)
    table = changed(table, at[paid[1]], "transactionAmountValue", "19.91")
    table = changed(table, at[paid[2]], "transactionCurrency", "USD")
    books.change_row(paid[3], "SET #status = :status", status="FAIL")
    refunded = next(line for line in table if refund in line)
    observed = [*refunded]
    observed[table[0].index("transactionRequestId")] = new_id("books-portal")
    if edition == OLD:
        observed[table[0].index("transactionId")] = new_id("2026")
    returned = [*refunded]
    returned[table[0].index("transactionType")] = "REFUND_REVERSAL"
    table = [*table[:-1], [*table[at[paid[4]]]], observed, returned, table[-1]]
    summary = books.receive(table)
    assert sorted(books.differences(summary)) == sorted(
        [
            ("missing-here", unknown),
            ("amount", paid[1]),
            ("currency", paid[2]),
            ("status", paid[3]),
            ("twice", paid[4]),
            ("refund-observed", observed[table[0].index("transactionRequestId")]),
            ("refund-returned", refund),
        ]
    )
    assert summary["newDifferences"] == 7
    page = books.result(summary["file"], "report.html")
    assert page
    assert "7 differences." in page
    books.change_row(paid[3], "SET #status = :status", status="SUCCESS")


@pytest.mark.fault("F66")
def test_a_success_that_no_file_has_is_missing_there_two_days_later(books: Books) -> None:
    absent, present = books.pay(), books.pay()
    moment = datetime.now(timezone(timedelta(hours=8))) - timedelta(days=40, minutes=len(books.stack.merchant.asked))
    for payment in (absent, present):
        row = books.stack.seen.row(payment)
        assert row
        books.change_row(payment, "SET #d = :day", day=f"{moment.date()}#{row['settledDay'].partition('#')[2]}")
    table = books.day(NEW, present)
    for column in ("transactionCreationTime", "transactionUpdateTime", "transactionCompletionTime"):
        table = changed(table, 1, column, moment.isoformat(timespec="seconds"))
    summary = books.receive(table)
    assert books.differences(summary) == [("missing-there", absent)]


@pytest.mark.fault("F66")
@pytest.mark.parametrize("edition", EDITIONS)
def test_what_is_init_here_and_paid_there_is_inquired_and_settled_by_the_answer(books: Books, edition: str) -> None:
    payment = books.pay()
    table = books.day(edition, payment)
    inquired = len(books.stack.alipay.calls(payment, "inquiryPayment"))
    books.change_row(payment, "SET #status = :init REMOVE settledBy, settledAt, settledDay, paymentId", init="INIT")
    summary = books.receive(table)
    assert summary["inquired"]["payments"] == [payment]
    assert books.differences(summary) == [("status", payment)]
    order = eventually(
        lambda: (found := books.stack.merchant.order(payment).json)["status"] == "SUCCESS" and found, "the result"
    )
    assert order["settledBy"] == "inquiry"
    assert len(books.stack.alipay.calls(payment, "inquiryPayment")) > inquired


def test_a_refund_made_in_the_portal_counts_against_what_is_left(books: Books, fast: Deployment) -> None:
    payment = books.pay()
    fast.alipay.portal(payment, "1500")
    summary = books.receive(books.day(NEW, payment))
    ((name, refund),) = books.differences(summary)
    assert name == "refund-observed"
    order = eventually(
        lambda: (found := fast.merchant.order(payment).json).get("refundedAmount") and found, "the refund on the order"
    )
    assert order["refundedAmount"] == {"currency": "HKD", "value": "1500"}
    shown = fast.merchant.call("GET", f"/payments/{payment}/refunds/{refund}").json
    assert (shown["status"], shown["refundAmount"]["value"]) == ("SUCCESS", "1500")
    again = books.receive([*books.day(NEW, payment)], name=f"again-{summary['file']}")
    assert again["differencesTotal"] == 0, "it is known now"


def test_details_that_do_not_add_up_to_their_summary_are_found(books: Books) -> None:
    payment = books.pay()
    details = books.day(OLD, payment, report="settlementItems")
    batch, amount = (details[1][details[0].index(c)] for c in ("settlementBatchId", "settlementAmountValue"))
    mine = f"{batch}-{new_id('b')}"
    details = changed(details, 1, "settlementBatchId", mine)
    columns = ["settlementBatchId", "summaryType", "settlementTime", "count"]
    columns += ["settlementAmountValue", "settlementCurrency"]
    currency = details[1][details[0].index("settlementCurrency")]
    time = datetime.now(UTC).isoformat(timespec="seconds")
    summed = [columns, *([mine, kind, time, "1", amount, currency] for kind in ("PAYMENT", "TOTAL")), ["<END>"]]
    assert books.receive(details, name=f"settlementItems_{mine}_000.csv")["status"] == "AGREES"
    assert books.receive(summed, name=f"settlementSummary_{mine}_000.csv")["status"] == "AGREES"
    wrong = changed(changed(summed, 1, "settlementAmountValue", "0.01"), 2, "settlementAmountValue", "0.01")
    summary = books.receive(wrong, name=f"settlementSummary_{mine}_000_again.csv")
    assert summary["differences"]["total"] == 1


@pytest.mark.fault("F63")
def test_a_file_that_was_cut_off_is_refused_and_nothing_is_concluded(books: Books) -> None:
    table = changed(books.day(NEW, books.pay()), 1, "transactionAmountValue", "1.00")
    summary = books.receive(table[:-1])
    assert summary["status"] == "REFUSED"
    assert summary["refusal"]["line"] == 2
    assert "<END>" in summary["refusal"]["reason"]
    assert books.result(summary["file"], "differences.csv") is None


def test_a_refused_file_leaves_nothing_of_a_good_one_of_its_name(books: Books) -> None:
    table = changed(books.day(NEW, books.pay()), 1, "transactionAmountValue", "1.00")
    name = books.receive(table)["file"]
    assert books.result(name, "differences.csv")
    books.put(name, csv_bytes(table[:-1]))
    refused = eventually(lambda: (one := books.summary(name)) and one["sequence"] == 2 and one, "the second result")
    assert refused["status"] == "REFUSED"
    assert books.result(name, "differences.csv") is None


def test_what_is_too_much_for_one_execution_is_inquired_by_the_next(books: Books, fast: Deployment) -> None:
    payments = [books.pay() for _ in range(3)]
    inquired = [len(fast.alipay.calls(payment, "inquiryPayment")) for payment in payments]
    delivery = new_id("books-rest")
    for number, payment in enumerate(payments, 1):
        books.change_row(payment, "SET #status = :init REMOVE settledBy, settledAt, settledDay, paymentId", init="INIT")
        step = {"payments": [payment], "refunds": [], "observed": []}
        books.put_key(f"state/rest/{delivery}/{number:06d}.json", json.dumps(step).encode())
    books.put_key(f"rest/{delivery}/1", b"")
    eventually(lambda: {fast.merchant.order(one).json["status"] for one in payments} == {"SUCCESS"}, "the results")
    for payment, before in zip(payments, inquired, strict=True):
        assert len(fast.alipay.calls(payment, "inquiryPayment")) > before


BATCH_GET_ITEM = "DynamoDB_20120810.BatchGetItem"


@pytest.mark.fault("F65")
@pytest.mark.parametrize("op", [BATCH_GET_ITEM, PUT_EVENTS])
def test_a_reconciliation_that_is_killed_is_run_again_with_the_same_result(books: Books, op: str) -> None:
    table = changed(books.day(NEW, books.pay(), books.pay()), 1, "transactionAmountValue", "1.00")
    expected = books.differences(books.receive(table))
    name = f"killed-{new_id('transactionItems')}.csv"
    with books.stack.faults_of("Reconcile") as faults, faults.injected({"op": op, "delay": 600, "times": 1}):
        books.put(name, csv_bytes(table))
        eventually(faults.used_up, "the call that is held")
        books.stack.functions.kill("Reconcile")
        summary = eventually(lambda: books.summary(name), "a result")
    assert books.differences(summary) == expected
    assert summary["newDifferences"] == 0


@pytest.mark.fault("F65")
def test_a_reconciliation_outlasts_a_busy_table(books: Books) -> None:
    table = books.day(NEW, books.pay())
    busy = {"op": BATCH_GET_ITEM, "error": "ProvisionedThroughputExceededException", "times": 6}
    with books.stack.faults_of("Reconcile") as faults, faults.injected(busy):
        summary = books.receive(table)
        assert faults.used_up()
    assert summary["status"] == "AGREES"


def test_the_operator_reconciles_files_on_a_machine_of_their_own(books: Books, tmp_path: Path) -> None:
    table = books.day(OLD, books.pay(), books.pay())
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(csv_bytes(table))
    bad.write_bytes(csv_bytes(changed(table, 1, "transactionAmountValue", "1.00")))
    stack = books.stack.directory / "stack.json"
    command = [sys.executable, "-m", "ops", "--local", str(stack), "reconcile", "--output", str(tmp_path / "results")]
    done = subprocess.run([*command, str(good)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "none" in done.stdout
    done = subprocess.run([*command, "--json", str(good), str(bad)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    first, second = json.loads(done.stdout)
    assert (first["status"], second["differences"]["amount"]) == ("AGREES", 1)
    assert "1 difference." in (tmp_path / "results" / "bad.csv" / "report.html").read_text()
