"""The results of one file, as they lie in a folder."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autodebit.reconciliation.compare import Difference
from autodebit.reconciliation.results import page, write_differences


def write_results(folder: Path, document: dict[str, Any], differences: Iterable[Difference]) -> None:
    """Write `differences.csv`, `report.html` and, last, `summary.json`: whoever sees it sees the others too.

    `document` is the summary's. A refused file gets no `differences.csv`: nothing is concluded from it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown: dict[str, list[Difference]] = {}
    if document["status"] != "REFUSED":
        with (folder / "differences.csv").open("w", encoding="utf-8", newline="") as file:
            shown = write_differences(file, differences)
    (folder / "report.html").write_text(page(document, shown), encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
