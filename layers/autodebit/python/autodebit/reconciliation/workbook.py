"""XLSX workbooks as rows of cells. python-calamine is needed only here, and only when a workbook comes."""

import zipfile
import zlib
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from python_calamine import CalamineError, CalamineWorkbook

from autodebit.instants import ALIPAY_DAY
from autodebit.reconciliation.reports import Report, ReportRefused, Rows, read_rows

UNPACKED_BYTES_MAX = 300_000_000
"""A workbook is read as a whole. Larger reports come as CSV, which is read line by line."""

MEMBERS_MAX = 1000

_UNREADABLE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)
"""What zipfile raises for archives that are damaged, encrypted or compressed in a way it does not know."""

EXACT_MAX = 10**15
"""A number cell holds 15 decimal digits and no more: an id of 28 digits that became a number is lost."""


def read_workbook(name: str, source: BinaryIO, scratch: Path) -> Report:
    """The report in the one sheet of a workbook that holds anything. Raises ReportRefused.

    `scratch` is a folder of this call's own, for the unpacked workbook.
    """
    return read_rows(name, _rows(_unpacked(source, scratch / "workbook.xlsx")))


def _unpacked(source: BinaryIO, target: Path) -> Path:
    """The same workbook without compression, at most UNPACKED_BYTES_MAX of it.

    The reader then meets exactly the bytes that were counted here, whatever sizes the archive claims.
    """
    left = UNPACKED_BYTES_MAX
    try:
        with zipfile.ZipFile(source) as packed, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as stored:
            members = packed.infolist()
            if len(members) > MEMBERS_MAX:
                raise ReportRefused(1, f"the workbook has {len(members)} members, {MEMBERS_MAX} are allowed")
            for member in members:
                if not member.filename.endswith((".xml", ".rels")):
                    continue  # pictures and printer settings hold no cells
                with packed.open(member) as reader, stored.open(member.filename, "w") as writer:
                    while chunk := reader.read(1 << 16):
                        left -= len(chunk)
                        if left < 0:
                            raise ReportRefused(1, f"the workbook unpacks to more than {UNPACKED_BYTES_MAX} bytes")
                        writer.write(chunk)
    except _UNREADABLE as error:
        raise ReportRefused(1, f"is no readable workbook: {error}") from error
    return target


def _rows(path: Path) -> Rows:
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            sheets = [workbook.get_sheet_by_index(index) for index in range(len(workbook.sheet_names))]
            filled = [sheet for sheet in sheets if sheet.start is not None]
            if not filled:
                raise ReportRefused(1, "the workbook is empty")
            if len(filled) > 1:
                raise ReportRefused(1, f"the workbook has {len(filled)} sheets that hold something, not one")
            first_row = (filled[0].start or (0, 0))[0] + 1
            for number, cells in enumerate(filled[0].iter_rows(), first_row):
                yield number, [_text(number, cell) for cell in cells]
    except CalamineError as error:
        raise ReportRefused(1, f"is no readable workbook: {error}") from error


def _text(number: int, cell: object) -> str:
    """A cell as a CSV file would have it. A date cell has no offset: it is the report's own day, UTC+8."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=ALIPAY_DAY).isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        if abs(cell) >= EXACT_MAX:
            raise ReportRefused(number, "an id was stored as a number: its last digits are lost")
        return str(int(cell)) if cell == int(cell) else format(Decimal(repr(cell)), "f")
    raise ReportRefused(number, f"a cell of type {type(cell).__name__} is none of a report")
