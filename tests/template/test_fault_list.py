"""Every fault on the list is shown by a test that can fail."""

import ast
from collections import Counter
from pathlib import Path

from tests.kit.fault_list import SHOWN

DEPLOYED = Path(__file__).resolve().parents[1] / "deployed"


def marked() -> Counter[str]:
    """How many tests carry each fault's mark."""
    found: Counter[str] = Counter()
    for path in DEPLOYED.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                        found.update(ast.literal_eval(argument) for argument in mark.args)
    return found


def test_each_fault_is_shown_and_no_other() -> None:
    assert set(marked()) == set(SHOWN)


def test_the_list_is_whole() -> None:
    assert sorted(SHOWN) == [f"F{number:02d}" for number in range(1, 67)]
