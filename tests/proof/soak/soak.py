"""The soak itself: the bad hour, the quiet time after it, and what is found then."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kit.books import counted_as_init
from tests.kit.stacks import Deployment

from .callers import Callers
from .comparison import FINAL, Books, Difference, compare, unheard
from .fates import Fate, prefix
from .tally import REFUSED, Tally, rules

Json = dict[str, Any]

SCALE = 0.02
"""Of the polling's waits in the bad hour: the first minute takes 1.2 s, the whole day still outlasts an expiry."""

QUIET_SCALE = 0.0005
"""Afterwards; it just outlasts an expiry even so."""

SENDING_S = 30
"""A POST is no longer running then, whatever became of its caller."""

SETTLED_WITHIN_S = 240
PROGRESS_EVERY_S = 10.0
"""The emulator looks through the whole table for it."""
LONG_AGO = "2020-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Findings:
    """What came of it. `books` are what the differences were found in."""

    differences: list[Difference]
    faults: Counter[str]
    books: Books
    storm_s: float
    quiet_s: float


class Soak:
    """Many payments at once on a stack that is deployed, every call faulty with this probability."""

    def __init__(self, deployment: Deployment, seed: int, probability: float, clients: int) -> None:
        self._deployment = deployment
        self._seed = seed
        self._probability = probability
        self._clients = clients

    def run(self, fates: list[Fate]) -> Findings:
        """Every payment to its end."""
        here = self._deployment
        by_id = {fate.payment_request_id: fate for fate in fates}
        callers, tally = Callers(here), Tally(here, by_id)
        began = time.monotonic()
        with here.polling_at(SCALE), self._progress(callers, tally, len(by_id)):
            here.faults.add(*rules(self._seed, self._probability))
            try:
                with ThreadPoolExecutor(self._clients) as pool:
                    list(pool.map(callers.ask, by_id.values()))
                tally.follow()
            finally:
                here.faults.clear()
        calm = time.monotonic()
        with here.polling_at(QUIET_SCALE), self._progress(callers, tally, len(by_id)):
            self._settle(callers, by_id)
            unheard = self._alarm_unheard()
        faults = tally.follow() + callers.happened
        faults[REFUSED] = sum(
            line.fields.get("reason") == "no connection" for line in here.seen.search_logs("no connection")
        )
        books = self._books(callers)
        return Findings(compare(books) + unheard, faults, books, calm - began, time.monotonic() - calm)

    # The world goes on

    def _settle(self, callers: Callers, fates: dict[str, Fate]) -> None:
        """Without faults, until each order is final or nothing is to be known of it; one that is neither is lost.

        As README has it, callers who were not answered send the same request again, and for an order that nobody could
        send so must the others. Whatever else is open comes right by itself.
        """
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            unanswered = callers.unanswered()
            uncertain = [row for row in self._open_rows() if self._may_settle(row)]
            if not unanswered and not uncertain:
                return
            unsent = (row["paymentRequestId"] for row in uncertain if row.get("neverSent"))
            asked_again = {*unanswered, *unsent}
            with ThreadPoolExecutor(self._clients) as pool:
                list(pool.map(callers.ask_again, (fates[key] for key in sorted(asked_again))))
            for row in uncertain:
                self._let_time_pass(row)
            self._sweep()
            time.sleep(2)

    def _may_settle(self, row: Json) -> bool:
        """Whether Alipay knows the result of this INIT order, or a pay might reach it yet."""
        payment = self._deployment.alipay.payment(row["paymentRequestId"])
        if payment and payment["known"]:
            return payment["status"] in FINAL
        now = datetime.now(UTC)
        sending = now - datetime.fromisoformat(row["attemptedAt"]) < timedelta(seconds=SENDING_S)
        return sending or now < datetime.fromisoformat(row["paymentExpiryTime"])

    def _open_rows(self) -> list[Json]:
        mine = prefix(self._seed)
        return [row for key, row in self._deployment.seen.open_rows().items() if key.startswith(mine)]

    def _let_time_pass(self, row: Json) -> None:
        """Until somebody should have looked at the order: the sweep takes it on if nobody polls it."""
        if row.get("overdueAt", "9999") < "9999":
            self._set(row["paymentRequestId"], "overdueAt", LONG_AGO)

    def _alarm_unheard(self) -> list[Difference]:
        """A quarter of an hour later the sweep counts every order that is INIT and may have reached Alipay."""
        for row in self._open_rows():
            self._set(row["paymentRequestId"], "attemptedAt", LONG_AGO)
        heard = counted_as_init(self._deployment, "OrdersInitOld")
        return unheard(self._open_rows(), heard)

    def _sweep(self) -> Json | None:
        """Let a minute's sweep run now; what it did, or None: on a busy machine one may fail, and the next makes up."""
        try:
            return self._deployment.functions.invoke("Sweep")
        except AssertionError as error:
            print(f"  a sweep failed: {str(error)[:120]}", flush=True)
            return None

    def _set(self, payment_request_id: str, attribute: str, value: str) -> None:
        """In an order that is INIT still and has such an attribute."""
        dynamodb = self._deployment.aws("dynamodb")
        try:
            dynamodb.update_item(
                TableName=self._deployment.seen.table,
                Key={"paymentRequestId": {"S": payment_request_id}},
                UpdateExpression="SET #a = :value",
                ConditionExpression="attribute_exists(#a) AND #s = :init",
                ExpressionAttributeNames={"#a": attribute, "#s": "status"},
                ExpressionAttributeValues={":value": {"S": value}, ":init": {"S": "INIT"}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return  # it has settled meanwhile

    # What is found then

    def _books(self, callers: Callers) -> Books:
        here, mine = self._deployment, prefix(self._seed)

        def ours(found: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in found.items() if key.startswith(mine)}

        return Books(
            asked=callers.asked,
            rows=ours(here.seen.rows()),
            versions=ours(here.seen.all_versions()),
            ledger=ours(here.alipay.payments()),
            pay_bodies=ours(here.alipay.pay_bodies()),
        )

    # Progress

    @contextmanager
    def _progress(self, callers: Callers, tally: Tally, payments: int) -> Iterator[None]:
        ended, began = threading.Event(), time.monotonic()

        def tell() -> None:
            while not ended.wait(PROGRESS_EVERY_S):
                faults = Counter(kind.partition(":")[0] for kind in (tally.follow() + callers.happened).elements())
                print(
                    f"  {time.monotonic() - began:4.0f} s  {callers.done:,} of {payments:,} done, "
                    f"{len(self._open_rows()):,} open; faults: "
                    + ", ".join(f"{kind} {number:,}" for kind, number in faults.items()),
                    flush=True,
                )

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
