"""Report files as Alipay writes them, made from a list of transactions. Shares no code with what reads them.

Both editions, all three reports, CSV and XLSX. Amounts are kept as texts in major units from the start.
"""

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from xml.sax.saxutils import escape

OLD = "old"
NEW = "2026"
EDITIONS = (OLD, NEW)


def _columns(names: str) -> list[str]:
    return names.split(",")


OLD_TRANSACTIONS = _columns(
    "customerId,referenceMerchantId,referenceStoreId,transactionId,originalTransactionId,transactionRequestId,"
    "referenceTransactionId,orderDescription,paymentMethodType,pspName,transactionType,paymentTime,productCode,"
    "transactionAmountValue,transactionCurrency"
)
OLD_SETTLEMENT = [
    *("settlementBatchId", *OLD_TRANSACTIONS, "settlementTime", "settlementAmountValue", "settlementCurrency"),
    *("quoteCurrencyPair", "quotePrice", "feeAmountValue", "feeCurrency"),
]
NEW_TRANSACTIONS = _columns(
    "settlementBatchId,customerId,PSP,ARN,referenceMerchantId,referenceStoreId,transactionType,transactionId,"
    "transactionRequestId,originalTransactionRequestId,referenceTransactionId,orderDescription,paymentMethodType,"
    "wallet,status,transactionCreationTime,transactionUpdateTime,transactionCompletionTime,settlementInitiatedDate,"
    "productCode,transactionAmountValue,transactionCurrency,settlementAmountValue,settlementCurrency,"
    "quoteCurrencyPair,quotePrice,paymentMethodFeeAmountValue,paymentMethodFeeCurrency"
)
NEW_SETTLEMENT = [column for column in NEW_TRANSACTIONS if column != "status"]
OLD_SUMMARY = _columns(
    "settlementBatchId,customerId,acquirer,summaryType,settlementTime,count,settlementAmountValue,settlementCurrency,"
    "feeAmountValue,feeCurrency"
)
NEW_SUMMARY = _columns(
    "settlementBatchId,customerId,PSP,summaryType,settlementInitiatedDate,count,settlementAmountValue,"
    "settlementCurrency,paymentMethodFeeAmountValue,paymentMethodFeeCurrency"
)

Table = list[list[str]]


@dataclass
class Transaction:
    """One transaction at Alipay. `value` is in major units; refunds get their sign when they are written."""

    type: str
    payment_request_id: str
    payment_id: str
    value: str
    currency: str
    time: str = "2026-11-22T10:00:00+08:00"
    status: str = "SUCCESS"
    refund_request_id: str = ""
    refund_id: str = ""
    batch: str = "20261126000000000001"
    product: str = "AGREEMENT_PAYMENT"
    description: str = "Monthly cinema pass"

    @property
    def signed(self) -> str:
        return f"-{self.value}" if self.type in ("REFUND", "CANCEL") else self.value


def transactions(edition: str, items: Iterable[Transaction]) -> Table:
    """The transaction details report."""
    columns = OLD_TRANSACTIONS if edition == OLD else NEW_TRANSACTIONS
    rows = (_old_cells(item) if edition == OLD else _new_cells(item, settled=False) for item in items)
    return [[*columns], *([cells.get(column, "") for column in columns] for cells in rows), ["<END>"]]


def settlement(edition: str, items: Iterable[Transaction]) -> Table:
    """The settlement details report; 1 % of each payment is the fee."""
    columns = OLD_SETTLEMENT if edition == OLD else NEW_SETTLEMENT
    rows = (
        _old_cells(item) | _settled(item) | {"settlementTime": "2026-11-26T00:10:00+08:00"}
        if edition == OLD
        else _new_cells(item, settled=True) | _settled(item)
        for item in items
    )
    return [[*columns], *([cells.get(column, "") for column in columns] for cells in rows), ["<END>"]]


def summary(edition: str, items: Iterable[Transaction], correction: str = "") -> Table:
    """The settlement summary of these transactions, a TOTAL for each batch and currency."""
    columns = OLD_SUMMARY if edition == OLD else NEW_SUMMARY
    sums: dict[tuple[str, str], dict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        sums[item.batch, item.currency][item.type].append(Decimal(_settled(item)["settlementAmountValue"]))
    rows = []
    for (batch, currency), types in sums.items():
        lines = [(name, str(len(amounts)), sum(amounts, Decimal(0))) for name, amounts in types.items()]
        if correction:
            lines.append(("default", "", Decimal(correction)))
        lines.append(
            (
                "TOTAL",
                str(sum(len(amounts) for amounts in types.values())),
                sum((line[2] for line in lines), Decimal(0)),
            )
        )
        for name, count, amount in lines:
            cells = {
                "settlementBatchId": batch,
                "customerId": "2188120000000001",
                "acquirer": "ALIPAY",
                "PSP": "ALIPAY",
                "summaryType": name,
                "count": count,
                "settlementAmountValue": f"{amount:f}",
                "settlementCurrency": currency,
                "settlementTime": "2026-11-26 00:10:00+08:00",
                "settlementInitiatedDate": "2026-11-26",
            }
            rows.append([cells.get(column, "") for column in columns])
    return [[*columns], *rows, ["<END>"]]


def _old_cells(item: Transaction) -> dict[str, str]:
    refund = item.type in ("REFUND", "REFUND_REVERSAL")
    return _common(item) | {
        "transactionId": item.refund_id if refund else item.payment_id,
        "originalTransactionId": item.payment_id if refund else "",
        "transactionRequestId": item.refund_request_id if refund else item.payment_request_id,
        "paymentTime": item.time,
        "pspName": "AlipayHK",
    }


def _new_cells(item: Transaction, settled: bool) -> dict[str, str]:
    refund = item.type in ("REFUND", "REFUND_REVERSAL")
    return _common(item) | {
        "settlementBatchId": item.batch if settled else "",
        "PSP": "ALIPAY",
        "wallet": "AlipayHK",
        "transactionId": item.payment_id,
        "transactionRequestId": item.refund_request_id if refund else item.payment_request_id,
        "originalTransactionRequestId": item.payment_request_id if refund or item.type == "CANCEL" else "",
        "status": item.status,
        "transactionCreationTime": item.time,
        "transactionCompletionTime": item.time,
        "settlementInitiatedDate": "2026-11-26" if settled else "",
    }


def _common(item: Transaction) -> dict[str, str]:
    return {
        "customerId": "2188120000000001",
        "settlementBatchId": item.batch,
        "orderDescription": item.description,
        "paymentMethodType": "ALIPAY_HK",
        "transactionType": item.type,
        "productCode": item.product,
        "transactionAmountValue": item.signed,
        "transactionCurrency": item.currency,
    }


def _settled(item: Transaction) -> dict[str, str]:
    gross = Decimal(item.signed)
    fee = (gross / 100).quantize(gross) if item.type == "PAYMENT" else Decimal(0).quantize(gross)
    return {
        "settlementAmountValue": f"{gross - fee:f}",
        "settlementCurrency": item.currency,
        "feeAmountValue": f"{-fee:f}",
        "feeCurrency": item.currency,
    }


def csv_bytes(table: Table, *, encoding: str = "utf-8", mark: bool = False, ends: tuple[str, ...] = ("\n",)) -> bytes:
    """The table as CSV; `ends` are the line ends, taken in turn."""
    lines = (",".join(_cell(cell) for cell in row) + ends[number % len(ends)] for number, row in enumerate(table))
    return (b"\xef\xbb\xbf" if mark else b"") + "".join(lines).encode(encoding)


def _cell(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


def xlsx_bytes(table: Table, *, dimension: str | None = None, numbers: bool = False, sheets: int = 1) -> bytes:
    """The table as a workbook; with `numbers`, amounts are number cells. `dimension` is what the sheet claims."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    claimed = f'<dimension ref="{dimension}"/>' if dimension else ""
    amounts = {at for at, column in enumerate(table[0]) if column.endswith("AmountValue")} if numbers else set()
    rows = "".join(
        f'<row r="{number}">{"".join(_xlsx_cell(number, at, cell, at in amounts) for at, cell in enumerate(row))}</row>'
        for number, row in enumerate(table, 1)
    )
    sheet = f"{head}<worksheet {main}>{claimed}<sheetData>{rows}</sheetData></worksheet>"
    names = range(1, sheets + 1)
    members = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="rId1" Type="{relation}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{head}<workbook {main} xmlns:r="{relation}"><sheets>'
        + "".join(f'<sheet name="Sheet{at}" sheetId="{at}" r:id="rId{at}"/>' for at in names)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{head}<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{at}" Type="{relation}/worksheet" Target="worksheets/sheet{at}.xml"/>'
            for at in names
        )
        + "</Relationships>",
        **{f"xl/worksheets/sheet{at}.xml": sheet for at in names},
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()


def _xlsx_cell(row: int, column: int, cell: str, number: bool) -> str:
    place = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        place = chr(65 + letter) + place
    if not cell:
        return ""
    if number and row > 1:
        return f'<c r="{place}{row}"><v>{cell}</v></c>'
    return f'<c r="{place}{row}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
