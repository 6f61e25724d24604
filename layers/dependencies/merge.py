"""Make one package folder of several, each for one machine. Usage: merge.py SITE_PACKAGES MACHINE...

Python prefers a compiled module whose name carries its own machine. So the modules of all machines stand side by side
under such names, and one layer serves every architecture. All else is the same in each folder.
"""

import re
import shutil
import sys
from pathlib import Path

COMPILED = re.compile(r"(?P<module>\w+)\.(abi3|cpython-313-\w+-linux-gnu)\.so")


def merge(site: Path, machines: list[Path]) -> None:
    """Move the first folder to `site` and add the compiled modules of the others. Raises SystemExit if more differs."""
    if len({frozenset(_sources(machine)) for machine in machines}) != 1:
        raise SystemExit(f"{', '.join(map(str, machines))}: not only compiled modules differ")
    for machine in machines:
        for module in [*machine.rglob("*.so*")]:
            named = COMPILED.fullmatch(module.name)
            if not named:
                raise SystemExit(f"{module}: no compiled module that Python finds by its machine's name")
            module.rename(module.with_name(f"{named['module']}.cpython-313-{machine.name}-linux-gnu.so"))
    shutil.rmtree(machines[0] / "bin", ignore_errors=True)
    shutil.move(machines[0], site)
    for machine in machines[1:]:
        for module in machine.rglob("*.so"):
            shutil.copy(module, site / module.relative_to(machine))


def _sources(machine: Path) -> set[tuple[Path, bytes]]:
    return {(path.relative_to(machine), path.read_bytes()) for path in machine.rglob("*.py")}


if __name__ == "__main__":
    merge(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
