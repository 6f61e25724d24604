"""How long a reconciliation takes and how much memory, at 1,000,000 lines (300 MB) and, on request, ten times that.

    make bench-books [LINES=10000000]

The file and our records are made by rule, so that nothing of them is held in memory but by what is measured. Each size
runs in a process of its own, whose peak memory the kernel tells.
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "layers" / "autodebit" / "python"))

from autodebit.reconciliation.books import Books  # noqa: E402
from autodebit.reconciliation.compare import Ours, knows_no_more  # noqa: E402
from autodebit.reconciliation.reports import read_csv  # noqa: E402

PLACE = ROOT / ".local" / "bench" / "books"
DAY = "2026-11-22"
REFUND_EVERY = 20
DIFFERS_EVERY = 10_000
"""Every so many payments have another amount there than here."""

COLUMNS = (
    "settlementBatchId,customerId,PSP,ARN,referenceMerchantId,referenceStoreId,transactionType,transactionId,"
    "transactionRequestId,originalTransactionRequestId,referenceTransactionId,orderDescription,paymentMethodType,wallet,"
    "status,transactionCreationTime,transactionUpdateTime,transactionCompletionTime,settlementInitiatedDate,productCode,"
    "transactionAmountValue,transactionCurrency,settlementAmountValue,settlementCurrency"
)


def main(sizes: list[int]) -> None:
    """Measure each size and print one line a size."""
    columns = ("read", "entered", "compared", "all", "processor")
    print(f"  {'lines':>10} {'file':>8} {' '.join(f'{name:>9}' for name in columns)} {'memory':>8}  differences")
    for size in sizes:
        file = _file(size)
        done = subprocess.run(
            [sys.executable, __file__, "--measure", str(file), str(size)], check=True, capture_output=True, text=True
        )
        one = json.loads(done.stdout)
        times = " ".join(f"{one[f'{name}_s']:>7.1f} s" for name in columns)
        size_mb = file.stat().st_size / 1e6
        print(f"  {size:>10,} {size_mb:>5.0f} MB {times} {one['memory_mb']:>5.0f} MB  {one['differences']}", flush=True)


def measure(file: Path, size: int) -> dict[str, float]:
    """One reconciliation in this process."""
    work = PLACE / "work"
    shutil.rmtree(work, ignore_errors=True)
    books = Books(work)
    started, used = time.monotonic(), time.process_time()
    with file.open("rb") as source:
        books.add([read_csv(file.name, source)])
    read = time.monotonic()
    books.enter(_ours(size))
    entered = time.monotonic()
    differences = sum(1 for _ in books.compare(knows_no_more, {DAY}).differences)
    compared = time.monotonic()
    shutil.rmtree(work)
    return {
        "read_s": read - started,
        "entered_s": entered - read,
        "compared_s": compared - entered,
        "all_s": compared - started,
        "processor_s": time.process_time() - used,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "differences": differences,
    }


def _file(size: int) -> Path:
    """A day's transaction details in the edition of 2026, about 300 bytes a line."""
    file = PLACE / f"transactionItems_{size}.csv"
    if not file.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8") as writer:
            writer.write(COLUMNS + "\n")
            writer.writelines(_line(number) for number in range(size))
            writer.write("<END>\n")
        unfinished.rename(file)
    return file


def _line(number: int) -> str:
    payment = number - number % REFUND_EVERY
    refund = number % REFUND_EVERY == 1
    value = _amount(number) + (1 if number % DIFFERS_EVERY == 0 else 0)
    moment = f"{DAY}T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}+08:00"
    return (
        f"2026112300000000000{number % 7},2188120000000001,ALIPAY_HK,,shop-0001,store-0001,"
        f"{'REFUND' if refund else 'PAYMENT'},20261122194010800100188{payment if refund else number:010d},"
        f"{'ref' if refund else 'ord'}-20261122-{number:010d},{f'ord-20261122-{payment:010d}' if refund else ''},"
        f"20261122-{number:010d},Monthly cinema pass,ALIPAY_HK,AlipayHK,SUCCESS,{moment},{moment},{moment},,"
        f"AGREEMENT_PAYMENT,{'-' if refund else ''}{value // 100}.{value % 100:02d},HKD,,\n"
    )


def _ours(size: int) -> Iterator[Ours]:
    for number in range(size):
        payment = number - number % REFUND_EVERY
        order_id, payment_id = f"ord-20261122-{number:010d}", f"20261122194010800100188{number:010d}"
        if number % REFUND_EVERY == 1:
            order_id, payment_id = f"ord-20261122-{payment:010d}", f"20261122194010800100188{payment:010d}"
            refund_id = f"20261122194010800200188{number:010d}"
            yield Ours(
                "REFUND",
                f"ref-20261122-{number:010d}",
                order_id,
                payment_id,
                refund_id,
                "HKD",
                _amount(number),
                "SUCCESS",
                DAY,
            )
        else:
            yield Ours("PAYMENT", order_id, order_id, payment_id, "", "HKD", _amount(number), "SUCCESS", DAY)


def _amount(number: int) -> int:
    return 100 + number * 7919 % 500_000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
