"""Alipay's report files on this machine, compared with the stack's orders and refunds by the stack's own code."""

import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

from autodebit.instants import alipay_day
from autodebit.reconciliation.reconcile import Document, Reconciler
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.store import Folder
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ops.stack import OpsFailed, Stack


def reconcile(stack: Stack, files: Sequence[Path], output: Path, encoding: str, now: datetime) -> Iterator[Document]:
    """What came of each file; its results lie in `output`, in a folder of the file's name.

    What is INIT here and decided there is inquired at once, by the stack. No more files will come than these, so the
    days and batches that are among them are concluded at the end. Raises OpsFailed if a file is not there.
    """
    for file in files:
        if not file.is_file():
            raise OpsFailed(f"there is no file {file}")
    with tempfile.TemporaryDirectory() as scratch:
        store = Folder(Path(scratch) / "store")
        reconciler = Reconciler(store, Records(stack.orders, stack.refunds), Path(scratch))
        for file in files:
            store.put(f"inbox/{file.name}", file)
        for file in files:
            document = reconciler.file(file.name, file, uuid4().hex, encoding, now)
            if document is None:
                raise OpsFailed(f"{file.name} was given twice")
            reconciler.done(document)
            _bring(store, document, output)
            _inquire(stack, reconciler, document)
            yield document
        for document in chain(reconciler.reported_days(now), reconciler.batches(alipay_day(now), now)):
            _bring(store, document, output)
            yield document


def _bring(store: Folder, document: Document, output: Path) -> None:
    """Copy the results of a document into a folder of its name."""
    for key in store.keys(f"results/{document['file']}/"):
        target = output / key.removeprefix("results/")
        target.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(key, target)


def _inquire(stack: Stack, reconciler: Reconciler, document: Document) -> None:
    number: int | None = 1
    while number:
        step = reconciler.rest(document["delivery"], number)
        for payment in step["payments"]:
            stack.invoke("Inquiry", {"paymentRequestId": payment, "inquiry": 0})
        for refund in step["refunds"]:
            stack.invoke("InquireRefund", {"refundRequestId": refund, "inquiry": 0})
        number = step["next"]


def screen(documents: Sequence[Document], output: Path) -> Any:
    """One line a file, and where to read more."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("file", "report", "lines", "differences"):
        table.add_column(column, overflow="fold", justify="right" if column == "lines" else "left")
    for document in documents:
        if document["status"] == "REFUSED":
            refusal = document["refusal"]
            said = Text(f"refused: line {refusal['line']} {refusal['reason']}", "red")
            table.add_row(document["file"], "", "", said)
        else:
            found = [f"{count} {name}" for name, count in document["differences"].items() if count]
            said = Text(", ".join(found), "red") if found else Text("none", "green")
            table.add_row(document["file"], document["report"], f"{document['lines']:,}", said)
    return Group(
        table, Text(f"{output}/<file>/report.html has each difference, with both sides and what to do.", "dim")
    )
