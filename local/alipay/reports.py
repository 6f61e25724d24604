"""The ledger's days as Alipay's report files: transaction details, settlement details and settlement summary.

Two editions, `old` and `2026`, as CSV or XLSX. Amounts are in major units, days in UTC+8.
https://docs.antom.com/ac/reconcile/field_summary · https://global.alipay.com/docs/ac/ams/transactionitems_online ·
https://global.alipay.com/docs/ac/reconcile/settlement_details
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from pathlib import Path

from local.alipay.clock import ZONE
from local.alipay.payments import Payment, Payments
from local.alipay.quirks import QUIRKS, Table, file_names, write
from local.alipay.refunds import Refund, Refunds
from local.alipay.world import World

EDITIONS = ("old", "2026")
FORMATS = ("csv", "xlsx")

_CUSTOMER = "1022188000000000001"
_FEE_MINOR = 10
"""The fee of every transaction, in minor units: https://global.alipay.com/docs/ac/cashierpayment/reports"""

_SETTLES_AFTER = timedelta(days=4)

_WHOLE = {"CLP", "JPY", "KRW", "VND"}
"""Currencies without decimals: https://docs.antom.com/ac/ref/cc"""

_PER_DOLLAR = {
    "AUD": "1.52",
    "BDT": "122.1",
    "BRL": "5.37",
    "CAD": "1.40",
    "CLP": "942",
    "CNY": "7.12",
    "EUR": "0.86",
    "GBP": "0.76",
    "HKD": "7.79",
    "IDR": "16650",
    "JPY": "155",
    "KRW": "1460",
    "MXN": "18.4",
    "MYR": "4.14",
    "NZD": "1.75",
    "PEN": "3.37",
    "PHP": "58.9",
    "PKR": "281",
    "PLN": "3.64",
    "SGD": "1.30",
    "THB": "32.3",
    "TWD": "31.2",
    "USD": "1",
    "VND": "26350",
}
"""Rates of no day in particular."""

_OLD_ITEMS = (
    *("customerId", "referenceMerchantId", "referenceStoreId", "transactionId", "originalTransactionId"),
    *("transactionRequestId", "referenceTransactionId", "orderDescription", "paymentMethodType", "pspName"),
    *("transactionType", "paymentTime", "productCode", "transactionAmountValue", "transactionCurrency"),
)
_OLD_SETTLED = (
    *("settlementBatchId", *_OLD_ITEMS, "settlementTime", "settlementAmountValue", "settlementCurrency"),
    *("quoteCurrencyPair", "quotePrice", "feeAmountValue", "feeCurrency"),
)
_NEW_ITEMS = (
    *("settlementBatchId", "customerId", "PSP", "ARN", "referenceMerchantId", "referenceStoreId"),
    *("transactionType", "transactionId", "transactionRequestId", "originalTransactionRequestId"),
    *("referenceTransactionId", "orderDescription", "paymentMethodType", "wallet", "status"),
    *("transactionCreationTime", "transactionUpdateTime", "transactionCompletionTime", "settlementInitiatedDate"),
    *("productCode", "transactionAmountValue", "transactionCurrency", "convertedAmountValue", "convertedCurrency"),
    *("settlementAmountValue", "settlementCurrency", "quoteCurrencyPair", "quotePrice"),
    *("processingFeeAmountValue", "processingFeeCurrency"),
)
_NEW_SETTLED = tuple(column for column in _NEW_ITEMS if column != "status")
_OLD_SUMMARY = (
    *("settlementBatchId", "customerId", "acquirer", "summaryType", "settlementTime", "count"),
    *("settlementAmountValue", "settlementCurrency", "feeAmountValue", "feeCurrency"),
)
_NEW_SUMMARY = (
    *("settlementBatchId", "customerId", "PSP", "summaryType", "settlementInitiatedDate", "count"),
    *("settlementAmountValue", "settlementCurrency", "processingFeeAmountValue", "processingFeeCurrency"),
)


@dataclass(frozen=True)
class Line:
    """One transaction: money that moved at `at`, or, with another status than SUCCESS, did not."""

    type: str
    payment: Payment
    refund: Refund | None
    value: int  # in minor units; negative for what the merchant gives
    status: str
    created_at: float
    at: float

    @property
    def currency(self) -> str:
        return str(self.payment.amount["currency"])

    @property
    def settles_in(self) -> str:
        return self.payment.settles_in or self.currency

    @property
    def request_id(self) -> str:
        return self.refund.refund_request_id if self.refund else self.payment.payment_request_id

    @property
    def quote(self) -> tuple[str, Decimal]:
        """The pair and its price: so many of the transaction's currency for one of the settlement's."""
        if self.settles_in == self.currency:
            return "", Decimal(1)
        price = Decimal(_PER_DOLLAR[self.currency]) / Decimal(_PER_DOLLAR[self.settles_in])
        return f"{self.settles_in}/{self.currency}", price.quantize(Decimal("0.000001"))

    @property
    def gross(self) -> Decimal:
        """The amount in the settlement currency, before the fee, in major units."""
        return _rounded(_major(self.value, self.currency) / self.quote[1], self.settles_in)

    @property
    def fee(self) -> Decimal:
        """Negative with a payment; a refund brings it back."""
        return _major(-_FEE_MINOR if self.value > 0 else _FEE_MINOR, self.settles_in)


class Reports:
    """Writes files; nobody downloads them from here."""

    def __init__(self, world: World, payments: Payments, refunds: Refunds) -> None:
        self._world = world
        self._payments = payments
        self._refunds = refunds

    def today(self) -> date:
        """The day it is at Alipay."""
        return _day(self._world.clock.now())

    def write(
        self, directory: Path, day: date, editions: Iterable[str], formats: Iterable[str], quirks: frozenset[str]
    ) -> list[Path]:
        """The files of this day under `directory/<edition>/`; their paths. Raises ValueError for an unknown choice."""
        editions, formats = list(editions), list(formats)
        for given, known in ((editions, EDITIONS), (formats, FORMATS), (quirks, QUIRKS)):
            if unknown := sorted(set(given) - set(known)):
                raise ValueError(f"unknown: {', '.join(unknown)}. Known are: {', '.join(known)}")
        with self._world.lock:
            found = [line for line in lines(self._payments.all(), self._refunds.all()) if _day(line.at) == day]
        written = []
        for edition in editions:
            for file_format in formats:
                for kind, table in tables(found, day, edition, "empty-batch" in quirks).items():
                    for name, part in file_names(kind, table, quirks):
                        path = directory / edition / f"{name}.{file_format}"
                        write(path, part, quirks)
                        written.append(path)
        return written


def lines(payments: Iterable[Payment], refunds: Iterable[Refund]) -> list[Line]:
    """Every transaction there has been, in the order of time."""
    found = []
    for payment in payments:
        created_at = payment.accepted_at
        if created_at is None:
            continue
        if payment.debited_at is None:
            at = payment.known_at or created_at
            found.append(Line("PAYMENT", payment, None, payment.value, payment.status, created_at, at))
            continue
        found.append(Line("PAYMENT", payment, None, payment.value, "SUCCESS", created_at, payment.debited_at))
        if payment.cancelled_at is not None:
            at = payment.cancelled_at
            found.append(Line("CANCEL", payment, None, -payment.value, "SUCCESS", at, at))
    for refund in refunds:
        if refund.payment is None or refund.accepted_at is None:
            continue
        at = refund.refunded_at or refund.accepted_at
        found.append(Line("REFUND", refund.payment, refund, -refund.value, refund.status, refund.accepted_at, at))
        if refund.bounced_at is not None:
            at = refund.bounced_at
            found.append(Line("REFUND_REVERSAL", refund.payment, refund, refund.value, "SUCCESS", at, at))
    return sorted(found, key=lambda line: line.at)


def tables(found: list[Line], day: date, edition: str, empty_batch: bool = False) -> dict[str, Table]:
    """What the day's files hold, by their names: no transactions, no file, unless an empty batch is wished for.

    The old details list what succeeded; those of 2026 the latest state of all.
    """
    moved = [line for line in found if line.status == "SUCCESS"]
    items = moved if edition == "old" else found
    columns = _OLD_ITEMS if edition == "old" else _NEW_ITEMS
    made: dict[str, Table] = {}
    if items:
        rows = [_cells(line, _batch(line), day, edition) for line in items]
        made[f"transactionItems_{day:%Y%m%d}_000"] = _table(columns, rows)
    for currency, group in groupby(sorted(moved, key=lambda line: line.settles_in), lambda line: line.settles_in):
        settled = list(group)
        batch = _batch(settled[0])
        rows = [_cells(line, batch, day, edition) for line in settled]
        made[f"settlementItems_{currency}_{batch}_000"] = _table(
            _OLD_SETTLED if edition == "old" else _NEW_SETTLED, rows
        )
        summary = [_summed(one, batch, day, edition, kind) for kind, one in _kinds(settled)]
        made[f"settlementSummary_{currency}_{batch}_000"] = _table(
            _OLD_SUMMARY if edition == "old" else _NEW_SUMMARY, summary
        )
    if empty_batch and not moved:
        batch = "0" * 19
        made[f"settlementItems_USD_{batch}_000"] = _table(_OLD_SETTLED if edition == "old" else _NEW_SETTLED, [])
        made[f"settlementSummary_USD_{batch}_000"] = _table(_OLD_SUMMARY if edition == "old" else _NEW_SUMMARY, [])
    return made


def _kinds(settled: list[Line]) -> list[tuple[str, list[Line]]]:
    kinds = {line.type for line in settled}
    return [*((kind, [line for line in settled if line.type == kind]) for kind in sorted(kinds)), ("TOTAL", settled)]


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> Table:
    return [[*columns], *([row.get(column, "") for column in columns] for row in rows), ["<END>"]]


def _batch(line: Line) -> str:
    """One batch for each day and settlement currency."""
    number = sorted(_PER_DOLLAR).index(line.settles_in) + 1
    return f"{_day(line.at):%Y%m%d}{number:011d}"


def _cells(line: Line, batch: str, day: date, edition: str) -> dict[str, str]:
    """Every column of the details reports that has something to say."""
    payment, refund = line.payment, line.refund
    pair, price = line.quote
    cells = {
        "customerId": _CUSTOMER,
        "settlementBatchId": batch,
        "transactionType": line.type,
        "transactionRequestId": line.request_id,
        "referenceTransactionId": payment.reference_order_id,
        "orderDescription": payment.description,
        "paymentMethodType": payment.wallet,
        "productCode": "AGREEMENT_PAYMENT",
        "transactionAmountValue": _text(_major(line.value, line.currency)),
        "transactionCurrency": line.currency,
    }
    if line.status == "SUCCESS":
        fee = "fee" if edition == "old" else "processingFee"
        cells |= {
            "settlementAmountValue": _text(line.gross + line.fee),
            "settlementCurrency": line.settles_in,
            "quoteCurrencyPair": pair,
            "quotePrice": _text(price.normalize()) if pair else "",
            f"{fee}AmountValue": _text(line.fee),
            f"{fee}Currency": line.settles_in,
        }
    if edition == "old":
        return cells | {
            "transactionId": refund.refund_id if refund else payment.payment_id,
            "originalTransactionId": "" if line.type == "PAYMENT" else payment.payment_id,
            "pspName": payment.wallet,
            "paymentTime": _time(line.at),
            "settlementTime": _time(_settled_at(day)),
        }
    return cells | {
        "PSP": "Antom",
        "wallet": payment.wallet,
        "transactionId": payment.payment_id,
        "originalTransactionRequestId": "" if line.type == "PAYMENT" else payment.payment_request_id,
        "status": line.status,
        "transactionCreationTime": _time(line.created_at),
        "transactionUpdateTime": _time(line.at),
        "transactionCompletionTime": "" if line.status == "PROCESSING" else _time(line.at),
        "settlementInitiatedDate": f"{datetime.fromtimestamp(_settled_at(day), ZONE):%Y-%m-%d}",
    }


def _summed(settled: list[Line], batch: str, day: date, edition: str, kind: str) -> dict[str, str]:
    currency = settled[0].settles_in
    fee = "fee" if edition == "old" else "processingFee"
    return {
        "settlementBatchId": batch,
        "customerId": _CUSTOMER,
        "acquirer": "Antom",
        "PSP": "Antom",
        "summaryType": kind,
        "settlementTime": _time(_settled_at(day)),
        "settlementInitiatedDate": f"{datetime.fromtimestamp(_settled_at(day), ZONE):%Y-%m-%d}",
        "count": str(len(settled)),
        "settlementAmountValue": _text(sum((line.gross + line.fee for line in settled), Decimal(0))),
        "settlementCurrency": currency,
        f"{fee}AmountValue": _text(sum((line.fee for line in settled), Decimal(0))),
        f"{fee}Currency": currency,
    }


def _settled_at(day: date) -> float:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZONE)
    return (noon + _SETTLES_AFTER).timestamp()


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).astimezone(ZONE).date()


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, ZONE).isoformat(timespec="seconds")


def _major(value: int, currency: str) -> Decimal:
    return Decimal(value) if currency in _WHOLE else Decimal(value).scaleb(-2)


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1) if currency in _WHOLE else Decimal("0.01"), ROUND_HALF_UP)


_text: Callable[[Decimal], str] = "{:f}".format
