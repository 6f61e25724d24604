"""What is installed with `pipx install ./ops` is all that it needs, in the versions the functions have."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.kit import ROOT
from tests.kit.template import MODULES

PROJECT = tomllib.loads((ROOT / "ops/pyproject.toml").read_text("utf-8"))["project"]
PINNED = dict(dependency.split("==") for dependency in PROJECT["dependencies"])
WITH = {"botocore": "boto3", "urllib3": "requests", "python_calamine": "python-calamine"}
"""Packages that come with another, or are spelled in another way."""


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports, inside of functions too; not those for types alone."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_everything_that_is_imported_is_pinned() -> None:
    waiting, seen, outside = sorted((ROOT / "ops").glob("*.py")), set[Path](), set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported(path):
            top, _, inner = name.partition(".")
            if top != "autodebit":
                outside.add(top)
                continue
            waiting += [MODULES[module] for module in (inner, inner.rpartition(".")[0]) if module in MODULES]
    outside -= sys.stdlib_module_names | {"ops"}
    assert {WITH.get(name, name).replace("_", "-") for name in outside} == set(PINNED)


def test_the_wheel_has_all_of_it_in_the_place_where_it_is_imported_from(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "ops", capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    code = "import autodebit, ops.commands, ops.documents, ops.screens; print(autodebit.__file__, ops.__file__)"
    environment = {"PYTHONPATH": str(wheel), "ORDERS_TABLE": "o", "REFUNDS_TABLE": "r", "AGREEMENTS_TABLE": "a"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == [f"{wheel}/autodebit/__init__.py", f"{wheel}/ops/__init__.py"], ran.stderr


def test_the_versions_are_the_functions_own_where_they_have_one() -> None:
    functions = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    shared = set(functions) & set(PINNED)
    assert shared
    assert {name: PINNED[name] for name in shared} == {name: functions[name] for name in shared}


def test_no_function_imports_the_operators_program() -> None:
    for path in [*MODULES.values(), *(ROOT / "functions").glob("*/app.py")]:
        assert "ops" not in {name.partition(".")[0] for name in imported(path)}
