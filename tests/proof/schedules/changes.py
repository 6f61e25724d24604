"""Changes to the product, each by the name of what it changes: a rename is answered by `Gone`, never by silence.

Names are written as `payment.order_table:OrderTable.settle`: a module of the shared package, and in it a function, a
class or a constant, down to a method.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

Named = Callable[[str], Any]
"""What stands in the loaded product under a name."""


class Gone(Exception):
    """The product has nothing of this name, or not what should be changed in it."""


class Replaced(NamedTuple):
    """A function or method: in its place stands what `by` makes of it."""

    name: str
    by: Callable[[Any, Named], Any]


class Edited(NamedTuple):
    """A function or a constant in the tree of its module; `edit` says how many places it has changed."""

    name: str
    edit: Callable[[ast.AST], int]


Change = Replaced | Edited


def module_of(name: str) -> str:
    """The module that a change is in, as it is imported."""
    return f"autodebit.{name.partition(':')[0]}"


def edit(tree: ast.Module, change: Edited) -> None:
    """Change the tree of a module. Raises Gone."""
    node: ast.AST = tree
    for part in _path(change.name):
        node = _child(node, part, change.name)
    if not change.edit(node):
        raise Gone(f"{change.name} has not what should be changed in it")


def replace(module: ModuleType, change: Replaced, loaded: Mapping[str, ModuleType]) -> None:
    """Change a module that has just been loaded, before anything else takes from it. Raises Gone."""
    *way, last = _path(change.name)
    owner: Any = module
    for part in way:
        owner = _of(owner, part, change.name)
    setattr(owner, last, change.by(_of(owner, last, change.name), lambda name: find(loaded, name)))


def find(loaded: Mapping[str, ModuleType], name: str) -> Any:
    """What stands in the product under a name. Raises Gone."""
    if module_of(name) not in loaded:
        raise Gone(name)
    found: Any = loaded[module_of(name)]
    for part in _path(name):
        found = _of(found, part, name)
    return found


def _path(name: str) -> list[str]:
    return name.partition(":")[2].split(".")


def _of(owner: Any, part: str, name: str) -> Any:
    if part not in vars(owner):
        raise Gone(name)
    return vars(owner)[part]


def _child(node: ast.AST, part: str, name: str) -> ast.AST:
    statements: list[ast.stmt] = getattr(node, "body", [])
    for child in statements:
        if getattr(child, "name", None) == part or part in _assigned(child):
            return child
    raise Gone(name)


def _assigned(node: ast.AST) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return (target.id for target in targets if isinstance(target, ast.Name))


# --- What is done to a tree ------------------------------------------------------------------------------------------


def constant(name: str, value: Any) -> Edited:
    """A constant of a module has another value."""

    def change(node: ast.AST) -> int:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            return 0
        node.value = ast.Constant(value)
        return 1

    return Edited(name, change)


def never_assigned(function: str, variable: str) -> Edited:
    """Nothing is assigned to this variable of a function after its first value."""

    def change(node: ast.AST) -> int:
        return _in_bodies(node, lambda statement: variable in _assigned(statement), ast.Pass())

    return Edited(function, change)


def raised_again(function: str, error: str) -> Edited:
    """An error that a function deals with is raised on."""

    def change(node: ast.AST) -> int:
        handlers = [
            each
            for each in ast.walk(node)
            if isinstance(each, ast.ExceptHandler) and isinstance(each.type, ast.Name) and each.type.id == error
        ]
        for handler in handlers:
            handler.body = [ast.Raise()]
        return len(handlers)

    return Edited(function, change)


def not_asked(function: str, variable: str) -> Edited:
    """Where a function asks several things at once, whether this variable is true is not one of them."""

    def change(node: ast.AST) -> int:
        asked = 0
        for each in ast.walk(node):
            if isinstance(each, ast.BoolOp):
                kept = [value for value in each.values if not _asks(value, variable)]
                asked += len(each.values) - len(kept)
                each.values = kept or [ast.Constant(True)]
                if len(each.values) == 1:
                    each.values *= 2  # Python's own tree has no operator of one operand
        return asked

    return Edited(function, change)


def _asks(value: ast.AST, variable: str) -> bool:
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    return isinstance(value, ast.Name) and value.id == variable


def _in_bodies(node: ast.AST, matches: Callable[[ast.AST], bool], new: ast.stmt) -> int:
    """Put `new` in the place of the statements that match, wherever they stand in the node."""
    changed = 0
    for each in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(each, name, None)
            for place, statement in enumerate(statements if isinstance(statements, list) else ()):
                if matches(statement):
                    statements[place] = ast.copy_location(new, statement)  # type: ignore[index]
                    changed += 1
    return changed
