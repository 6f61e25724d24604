"""The soak itself: the bad hour, the quiet time after it, and what is found then."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from tests.kit.books import counted_as_init
from tests.kit.rows import Rows
from tests.kit.stacks import Deployment

from .books import FINAL, Books, Difference, Side
from .callers import Callers
from .comparison import compare, unheard
from .fates import Fate, prefix
from .impatience import Impatient
from .refund_comparison import compare_refunds
from .report_files import Reconciled, days_between, reconcile, report_differences
from .tally import REFUSED, Tally, rules

Json = dict[str, Any]

SCALE = 0.02
"""Of the polling's waits in the bad hour: the first minute takes 1.2 s, the whole day still outlasts an expiry."""

QUIET_SCALE = 0.0005
"""Afterwards; it just outlasts an expiry even so."""

SENDING_S = 30
"""A POST is no longer running then, whatever became of its caller."""

SETTLED_WITHIN_S = 54_000 * SCALE + 120
"""The longest of the polling's waits, begun at the end of the bad hour, and what comes after it."""

PROGRESS_EVERY_S = 10.0
"""The emulator looks through the whole table for it."""
LONG_AGO = "2020-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Findings:
    """What came of it. `books` and `reconciled` are what the differences were found in."""

    differences: list[Difference]
    faults: Counter[str]
    books: Books
    reconciled: list[Reconciled]
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
        """Every payment and refund to its end."""
        here, first_day = self._deployment, _alipay_day()
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
        faults = tally.follow() + _happened(callers)
        faults[REFUSED] = sum(
            line.fields.get("reason") == "no connection" for line in here.seen.search_logs("no connection")
        )
        books = self._books(callers)
        quiet_s = time.monotonic() - calm
        reconciled = reconcile(here, books, days_between(first_day, _alipay_day()), prefix(self._seed).rstrip("-"))
        differences = compare(books) + unheard + compare_refunds(books) + report_differences(reconciled, books)
        return Findings(differences, faults, books, reconciled, calm - began, quiet_s)

    # The world goes on

    def _settle(self, callers: Callers, fates: dict[str, Fate]) -> None:
        """Without faults, until each order and refund is final or nothing is to be known of it; one that is neither is
        lost.

        As README has it, callers who were not answered send the same request again, and for an order that nobody could
        send so must the others. So they do for a refund that Alipay has not heard of, once nobody can be sending it:
        it does not expire. Whatever else is open comes right by itself.
        """
        refund_fates = {refund.refund_request_id: refund for fate in fates.values() for refund in fate.refunds}
        seen, giving_back = self._deployment.seen, callers.giving_back
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            unanswered = callers.unanswered()
            uncertain = [row for row in self._open_rows() if self._may_settle(row)]
            to_give_back = [fate for fate in fates.values() if self._is_to_be_given_back(fate, callers)]
            refunds_unanswered = giving_back.unanswered()
            refunds, to_ask_again = self._uncertain_refunds()
            if not any((unanswered, uncertain, to_give_back, refunds_unanswered, refunds)):
                return
            unsent = {row["paymentRequestId"] for row in uncertain if row.get("neverSent")}
            with ThreadPoolExecutor(self._clients) as pool:
                list(pool.map(callers.ask_again, (fates[key] for key in sorted({*unanswered, *unsent}))))
                list(pool.map(callers.give_back, to_give_back))
                asked_again = sorted({*refunds_unanswered, *to_ask_again} & refund_fates.keys())
                list(pool.map(giving_back.ask_again, (refund_fates[key] for key in asked_again)))
            for row in uncertain:
                self._let_time_pass(seen.orders, row["paymentRequestId"], row)
            for row in refunds:
                self._let_time_pass(seen.refunds, row["refundRequestId"], row)
            self._sweep("Sweep")
            self._sweep("SweepRefunds")
            time.sleep(2)

    def _may_settle(self, row: Json) -> bool:
        """Whether Alipay knows the result of this INIT order, or a pay might reach it yet."""
        payment = self._deployment.alipay.payment(row["paymentRequestId"])
        if payment and payment["known"]:
            return payment["status"] in FINAL
        now = datetime.now(UTC)
        return _is_sending(row, now) or now < datetime.fromisoformat(row["paymentExpiryTime"])

    def _is_to_be_given_back(self, fate: Fate, callers: Callers) -> bool:
        """Whether a caller who wants money back was not told yet that there is some."""
        if not fate.refunds or fate.refunds[0].refund_request_id in callers.giving_back.asked:
            return False
        row = self._deployment.seen.row(fate.payment_request_id)
        return row is not None and row["status"] == "SUCCESS"

    def _uncertain_refunds(self) -> tuple[list[Json], set[str]]:
        """The INIT refunds whose result Alipay knows or can come to know, and which of them to ask for again.

        Those are what Alipay has not heard of, and what the runbook has of a polling that is spent.
        """
        now, known = datetime.now(UTC), self._ours(self._deployment.alipay.refunds())
        rows = self._ours(self._deployment.seen.refunds.open_rows())
        uncertain = {key: row for key, row in rows.items() if key not in known or known[key]["status"] in FINAL}
        again = {
            key
            for key, row in uncertain.items()
            if row.get("neverSent") or ((key not in known or _is_spent(row)) and not _is_sending(row, now))
        }
        return list(uncertain.values()), again

    def _open_rows(self) -> list[Json]:
        return list(self._ours(self._deployment.seen.open_rows()).values())

    def _ours(self, found: dict[str, Any]) -> dict[str, Any]:
        """Those of this seed."""
        return {key: value for key, value in found.items() if key.startswith(prefix(self._seed))}

    def _let_time_pass(self, table: Rows, key: str, row: Json) -> None:
        """Until somebody should have looked at the row: the sweep takes it on if nobody polls it."""
        if "overdueAt" in row and not _is_spent(row):
            table.set_while_init(key, "overdueAt", LONG_AGO)

    def _alarm_unheard(self) -> list[Difference]:
        """A quarter of an hour later the sweep counts every order that is INIT and may have reached Alipay."""
        for row in self._open_rows():
            self._deployment.seen.orders.set_while_init(row["paymentRequestId"], "attemptedAt", LONG_AGO)
        heard = counted_as_init(self._deployment, "OrdersInitOld")
        return unheard(self._open_rows(), heard)

    def _sweep(self, function: str) -> None:
        """Let a minute's sweep run now. On a busy machine one may fail, and the next makes up for it."""
        try:
            self._deployment.functions.invoke(function)
        except AssertionError as error:
            print(f"  {function} failed: {str(error)[:120]}", flush=True)

    # What is found then

    def _books(self, callers: Callers) -> Books:
        seen, alipay = self._deployment.seen, self._deployment.alipay
        pays, refunds = alipay.bodies()
        return Books(
            self._side(callers, seen.orders, alipay.payments(), pays),
            self._side(callers.giving_back, seen.refunds, alipay.refunds(), refunds),
        )

    def _side(self, callers: Impatient, table: Rows, ledger: dict[str, Json], bodies: dict[str, list[str]]) -> Side:
        return Side(
            callers.asked,
            self._ours(table.rows()),
            self._ours(table.all_versions()),
            self._ours(ledger),
            self._ours(bodies),
        )

    # Progress

    @contextmanager
    def _progress(self, callers: Callers, tally: Tally, payments: int) -> Iterator[None]:
        ended, began = threading.Event(), time.monotonic()

        def tell() -> None:
            while not ended.wait(PROGRESS_EVERY_S):
                faults = Counter(kind.partition(":")[0] for kind in (tally.follow() + _happened(callers)).elements())
                print(
                    f"  {time.monotonic() - began:4.0f} s  {callers.done:,} of {payments:,} done, "
                    f"{len(self._open_rows()):,} open; {len(callers.giving_back.asked):,} refunds; faults: "
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


def _is_sending(row: Json, now: datetime) -> bool:
    return now - datetime.fromisoformat(row["attemptedAt"]) < timedelta(seconds=SENDING_S)


def _is_spent(row: Json) -> bool:
    return str(row.get("overdueAt", "")).startswith("9999")


def _happened(callers: Callers) -> Counter[str]:
    return callers.happened + callers.giving_back.happened


def _alipay_day() -> date:
    return datetime.now(timezone(timedelta(hours=8))).date()
