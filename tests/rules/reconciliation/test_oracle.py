"""DuckDB is asked the same questions of the same files in SQL; both must find the same."""

import csv
import random
from pathlib import Path

import duckdb
import pytest
from autodebit.reconciliation.reports import read_csv

from tests.rules.reconciliation.alipay_files import EDITIONS, NEW, csv_bytes, transactions
from tests.rules.reconciliation.reading import compare, named
from tests.rules.reconciliation.world import SEEDS, TODAY, World, clean

REFUND_KEY = {
    NEW: "l.transactionRequestId = h.request_id",
    "old": "l.transactionId = h.refund_id",
}
STATUS = {NEW: "status", "old": "'SUCCESS'"}

QUESTIONS = """
WITH decimals(currency, places) AS (VALUES ('HKD', 2), ('JPY', 0), ('IDR', 2), ('KRW', 0), ('USD', 2)),
l AS (
  SELECT *, {status} AS said,
    CAST(CAST(transactionAmountValue AS DECIMAL(30, 2)) * power(10, places) AS BIGINT) AS minor,
    row_number() OVER (PARTITION BY transactionType, transactionRequestId ORDER BY place) AS nth
  FROM lines JOIN decimals ON transactionCurrency = currency
),
cancels AS (SELECT DISTINCT transactionRequestId AS id FROM l WHERE transactionType = 'CANCEL'),
pairs AS (
  SELECT l.*, h.request_id, h.currency AS here_currency, h.status AS here_status, h.minor AS here_minor,
    l.transactionType = 'PAYMENT' AND l.transactionRequestId IN (SELECT id FROM cancels) AS cancelled
  FROM l LEFT JOIN here h ON CASE WHEN l.transactionType IN ('PAYMENT', 'CANCEL')
    THEN h.type = 'PAYMENT' AND l.transactionRequestId = h.request_id
    ELSE h.type = 'REFUND' AND {refund_key} END
  WHERE nth = 1
)
SELECT 'twice', transactionRequestId FROM l WHERE nth > 1
UNION ALL SELECT 'refund-returned', transactionRequestId FROM pairs WHERE transactionType = 'REFUND_REVERSAL'
UNION ALL SELECT 'refund-observed', transactionRequestId FROM pairs
  WHERE transactionType = 'REFUND' AND request_id IS NULL
UNION ALL SELECT 'missing-here', transactionRequestId FROM pairs
  WHERE transactionType IN ('PAYMENT', 'CANCEL') AND request_id IS NULL
UNION ALL SELECT 'currency', transactionRequestId FROM pairs
  WHERE transactionType <> 'REFUND_REVERSAL' AND here_currency <> transactionCurrency
UNION ALL SELECT 'amount', transactionRequestId FROM pairs
  WHERE transactionType IN ('PAYMENT', 'REFUND') AND NOT cancelled AND here_currency = transactionCurrency
    AND abs(minor) <> here_minor
UNION ALL SELECT 'status', transactionRequestId FROM pairs
  WHERE transactionType IN ('PAYMENT', 'REFUND') AND NOT cancelled AND here_currency = transactionCurrency
    AND abs(minor) = here_minor AND here_status <> said
UNION ALL SELECT 'status', transactionRequestId FROM pairs
  WHERE transactionType = 'CANCEL' AND here_currency = transactionCurrency AND here_status <> 'CANCELLED'
UNION ALL SELECT 'missing-there', h.request_id FROM here h
  WHERE status = 'SUCCESS' AND NOT EXISTS (
    SELECT 1 FROM l WHERE CASE WHEN h.type = 'PAYMENT'
      THEN transactionType IN ('PAYMENT', 'CANCEL') AND transactionRequestId = h.request_id
      ELSE transactionType IN ('REFUND', 'REFUND_REVERSAL') AND {refund_key} END)
"""


def _oracle(world: World, edition: str, file: Path) -> list[tuple[str, str]]:
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        database.execute(
            "CREATE TABLE lines AS SELECT *, row_number() OVER () AS place "
            f"FROM read_csv('{file}', all_varchar = true, header = true, null_padding = true) "
            "WHERE transactionType IS NOT NULL"
        )
        records = file.with_name("here.csv")
        with records.open("w", newline="") as rows:
            writer = csv.writer(rows)
            writer.writerow(("type", "request_id", "refund_id", "currency", "minor", "status"))
            writer.writerows(
                (one.type, one.request_id, one.refund_id, one.currency, one.minor, one.status) for one in world.here
            )
        database.execute(
            "CREATE TABLE here AS SELECT * REPLACE (CAST(minor AS BIGINT) AS minor) "
            f"FROM read_csv('{records}', all_varchar = true, header = true)"
        )
        question = QUESTIONS.format(status=STATUS[edition], refund_key=REFUND_KEY[edition])
        return sorted((str(name), str(about)) for name, about in database.execute(question).fetchall())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("edition", EDITIONS)
def test_the_oracle_finds_the_same(edition: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    world = clean(2000, seed)
    expected = [SEEDS[chance.choice(tuple(SEEDS))](world) for _ in range(150)]
    chance.shuffle(world.there)
    file = tmp_path / "transactionItems_20261122_000.csv"
    file.write_bytes(csv_bytes(transactions(edition, world.there)))
    with file.open("rb") as source:
        _, differences = compare(tmp_path / "books", [read_csv(file.name, source)], world, concluded={TODAY})
    found = named(differences)
    assert found == _oracle(world, edition, file)
    assert set(expected) <= set(found)
