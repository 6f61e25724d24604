"""docs/practice.md is true: what it names exists."""

import ast
import re
from pathlib import Path

import pytest

from tests.kit import ROOT

PACKAGE = ROOT / "layers/autodebit/python/autodebit"
ROW = re.compile(
    r"^\| (?P<sentence>[^|]+) \| `(?P<file>[^:`]+):(?P<symbol>[^`]+)` \| `(?P<test>test_\w+)` \|$", re.MULTILINE
)
ROWS = [row.groupdict() for row in ROW.finditer((ROOT / "docs/practice.md").read_text("utf-8"))]


def names_in(file: Path) -> set[str]:
    """What a module defines, with the members of its classes as `Class.member`."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{member.name}" for member in node.body if isinstance(member, ast.FunctionDef)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
}


def test_every_line_of_the_table_is_read() -> None:
    lines = [line for line in (ROOT / "docs/practice.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 2 >= 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["sentence"][:60])
def test_a_sentence_of_the_practice_names_code_and_a_test_that_exist(row: dict[str, str]) -> None:
    assert row["symbol"] in names_in(PACKAGE / row["file"])
    assert row["test"] in TESTS
