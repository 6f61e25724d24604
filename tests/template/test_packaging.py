"""What `sam build` puts into a function's zip and into the layer."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.kit import ROOT
from tests.kit.template import FUNCTIONS, PACKAGE, RESOURCES, TEMPLATE


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notify function's folder as its build leaves it, in a checkout that has been used."""
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("functions", "layers/autodebit"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    left_over = checkout / "layers/autodebit/python/autodebit/__pycache__/removed_module.cpython-313.pyc"
    left_over.parent.mkdir()
    left_over.write_bytes(b"bytecode of another time")
    artifacts = tmp_path_factory.mktemp("artifacts")
    subprocess.run(
        ["make", "--makefile", checkout / "functions/Makefile", "build-NotifyFunction"],
        cwd=checkout / "functions/notify",
        env={**os.environ, "PYTHON": sys.executable, "ARTIFACTS_DIR": str(artifacts)},
        check=True,
    )
    return artifacts


def test_the_package_and_the_functions_own_files_are_in_its_zip(zipped: Path) -> None:
    modules = {path.relative_to(zipped) for path in zipped.rglob("*.py")}

    package = {Path("autodebit") / path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert modules == package | {Path("app.py")}


def test_each_module_has_bytecode_that_is_used_unchecked(zipped: Path) -> None:
    for module in zipped.rglob("*.py"):
        bytecode = Path(importlib.util.cache_from_source(str(module)))
        flags = int.from_bytes(bytecode.read_bytes()[4:8], "little")
        assert flags == 0b01, f"{bytecode} is checked against its source"  # PEP 552: hash-based, not checked


def test_bytecode_of_another_time_stays_out_of_the_zip(zipped: Path) -> None:
    stems = {path.stem for path in zipped.rglob("*.py")}

    assert {path.name.partition(".")[0] for path in zipped.rglob("*.pyc")} == stems


def test_bytecode_is_the_same_wherever_it_was_built(zipped: Path) -> None:
    assert not [path for path in zipped.rglob("*.pyc") if str(zipped).encode() in path.read_bytes()]


def test_every_function_is_built_with_the_package() -> None:
    for name in FUNCTIONS:
        metadata = RESOURCES[name]["Metadata"]
        assert (metadata["BuildMethod"], metadata["ContextPath"]) == ("makefile", "functions"), name
    assert TEMPLATE["Globals"]["Function"]["Layers"] == [{"Ref": "DependenciesLayer"}]


@pytest.fixture
def merge() -> ModuleType:
    specification = importlib.util.spec_from_file_location("merge", ROOT / "layers/dependencies/merge.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def machines(tmp_path: Path) -> list[Path]:
    """The same package for two machines: one compiled module named for its machine, one not."""
    for machine in ("aarch64", "x86_64"):
        package = tmp_path / machine / "package"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "stable.abi3.so").write_text(machine)
        (package / f"own.cpython-313-{machine}-linux-gnu.so").write_text(machine)
    return [tmp_path / "aarch64", tmp_path / "x86_64"]


def test_compiled_modules_of_both_machines_stand_side_by_side(
    merge: ModuleType, machines: list[Path], tmp_path: Path
) -> None:
    site = tmp_path / "site"

    merge.merge(site, machines)

    found = {path.name: path.read_text() for path in (site / "package").glob("*.so")}
    assert found == {
        f"{module}.cpython-313-{machine}-linux-gnu.so": machine
        for module in ("stable", "own")
        for machine in ("aarch64", "x86_64")
    }


def test_packages_that_differ_in_more_than_compiled_modules_are_not_merged(
    merge: ModuleType, machines: list[Path], tmp_path: Path
) -> None:
    (machines[1] / "package" / "__init__.py").write_text("import for_this_machine_only")

    with pytest.raises(SystemExit, match="not only compiled modules differ"):
        merge.merge(tmp_path / "site", machines)


def test_a_compiled_library_that_is_no_module_is_not_merged(
    merge: ModuleType, machines: list[Path], tmp_path: Path
) -> None:
    (machines[0] / "package" / "libffi-1a2b.so.8").write_text("of aarch64")

    with pytest.raises(SystemExit, match="libffi"):
        merge.merge(tmp_path / "site", machines)
