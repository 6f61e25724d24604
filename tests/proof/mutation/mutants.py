"""Every small change of a module's source that a test should notice.

Left alone: docstrings, annotations, imports, decorators, base classes, the messages of log lines, and prose, which is
text of two words or more (what errors say to people). A `raise ... from ...` keeps its cause. Everything else that has
an operator below counts.
"""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,),
}
PROSE = re.compile(r"\w\W* \W*\w")
QUANTIFIER = re.compile(r"(?<=\{)\d+|\d+(?=\})|(?<=[\])a-z])[+*?](?!\])|\[[^]]+\]")
KEPT_FIELDS = {"annotation", "bases", "returns", "decorator_list", "cause", "type_params"}


@dataclass(frozen=True)
class Mutant:
    """`tree` with `new` at `place`. A line's text names it, for line numbers move."""

    module: str
    """Its name within the shared package: `payment.outcome`."""
    function: str
    """The outermost function it is in; empty for what happens while the module is imported."""
    lines: range
    text: str
    change: str
    tree: ast.Module
    place: tuple[Any, str, int | None]
    new: ast.AST

    @property
    def name(self) -> tuple[str, str, str]:
        return self.module, self.text, self.change

    def code(self, path: str) -> Any:
        """The mutated module. Changes the tree: for a process that ends with its mutant."""
        owner, field, index = self.place
        if index is None:
            setattr(owner, field, self.new)
        else:
            getattr(owner, field)[index] = self.new
        return compile(ast.fix_missing_locations(self.tree), path, "exec")


def mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, from its first line to its last."""
    tree = ast.parse(source)
    texts = source.splitlines()

    def of(node: ast.AST, within: str, function: str, statement: range) -> Iterator[Mutant]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not function:
            within = f"{within}.{node.name}".lstrip(".")
        for field, value in ast.iter_fields(node):
            if field in KEPT_FIELDS:
                continue
            if isinstance(node, ast.FunctionDef) and field == "body":
                function = function or within
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(child, ast.AST) or _is_left_alone(node, child):
                    continue
                lines = _lines(child) if isinstance(child, ast.stmt | ast.ExceptHandler) else statement
                for new in _changes(node, child):
                    change = f"{_said(child)} -> {_said(new)}"
                    text = texts[getattr(child, "lineno", lines.start) - 1].strip()
                    yield Mutant(module, function, lines, text, change, tree, (node, field, index), new)
                yield from of(child, within, function, lines)

    return list(of(tree, "", "", range(0)))


def _is_left_alone(parent: ast.AST, node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(parent, ast.Call) and ast.unparse(parent.func).startswith("logger.") and node in parent.args:
        return True
    if isinstance(parent, ast.Assign) and isinstance(node, ast.Name | ast.Attribute | ast.BinOp):
        return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)  # a union of types
    texts = parent.values if isinstance(parent, ast.JoinedStr) else [node]
    return isinstance(node, ast.Constant) and any(map(_is_prose, texts))


def _is_prose(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(PROSE.search(node.value))


def _lines(node: ast.stmt | ast.ExceptHandler) -> range:
    """A statement's own lines: of one that has a body, its head."""
    body = getattr(node, "body", None)
    last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
    return range(node.lineno, last + 1)


def _said(node: ast.AST) -> str:
    if isinstance(node, ast.ExceptHandler | ast.If | ast.While | ast.comprehension):
        return ast.unparse(node).strip().partition("\n")[0] + (" raise" if _only_raises(node) else "")
    return ast.unparse(node)


def _only_raises(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler) and isinstance(node.body[0], ast.Raise) and not node.body[0].exc


def _changes(parent: ast.AST, node: Any) -> Iterator[Any]:
    match node:
        case ast.Compare(ops=[op]):
            yield from (_with(node, ops=[other()]) for other in SWAPS[type(op)])
        case ast.Compare(ops=[*ops]):
            for place, op in enumerate(ops):
                for other in SWAPS[type(op)]:
                    yield _with(node, ops=[*ops[:place], other(), *ops[place + 1 :]])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=SWAPS[type(op)][0]())
            yield from (_joined(node, rest) for rest in _one_less(values))
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            yield from (_with(node, op=other()) for other in SWAPS.get(type(op), ()))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.If() | ast.While():
            others = (value for value in (True, False) if ast.unparse(node.test) != str(value))
            yield from (_with(node, test=ast.Constant(value)) for value in others)
        case ast.comprehension(ifs=[_, *_]):
            yield from (_with(node, ifs=rest) for rest in _one_less(node.ifs))
        case ast.Return(value=value) if value is not None and ast.unparse(value) != "None":
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield ast.Pass()
        case ast.ExceptHandler() if not _only_raises(node):
            if isinstance(node.type, ast.Tuple):
                yield from (_with(node, type=_with(node.type, elts=rest)) for rest in _one_less(node.type.elts))
            yield _with(node, body=[ast.Raise()])
        case ast.Call(
            func=ast.Attribute(value=ast.Name("re"), attr="compile"),
            args=[ast.Constant(str() | bytes() as pattern), *flags],
        ):
            yield from (_with(node, args=[ast.Constant(other), *flags]) for other in _patterns(pattern))
        case ast.Call(func=ast.Attribute(value=value), args=[], keywords=[]):
            yield value
        case ast.Call(keywords=[_, *_]):
            yield from (_with(node, keywords=rest) for rest in _one_less(node.keywords))
        case ast.Dict():
            for keys, values in zip(_one_less(node.keys), _one_less(node.values), strict=True):
                yield _with(node, keys=keys, values=values)
        case ast.List() | ast.Set():
            yield from (_with(node, elts=rest) for rest in _one_less(node.elts))
        case ast.Tuple() if all(isinstance(element, ast.Constant | ast.Tuple) for element in node.elts):
            yield from (_with(node, elts=rest) for rest in _one_less(node.elts))
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if not _is_pattern(parent):
            yield ast.Constant(value + "x" if value else "/")


def _is_pattern(parent: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and ast.unparse(parent.func) == "re.compile"


def _patterns(pattern: str | bytes) -> Iterator[str | bytes]:
    """One number more, a quantifier another, a set of characters any character."""
    text = pattern if isinstance(pattern, str) else pattern.decode()
    for found in QUANTIFIER.finditer(text):
        old = found[0]
        new = str(int(old) + 1) if old.isdigit() else {"+": "*", "*": "+", "?": ""}.get(old, ".")
        changed = text[: found.start()] + new + text[found.end() :]
        yield changed if isinstance(pattern, str) else changed.encode()


def _with(node: ast.AST, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _joined(node: ast.BoolOp, values: list[ast.expr]) -> ast.expr:
    return values[0] if len(values) == 1 else _with(node, values=values)


def _one_less(values: list[Any]) -> Iterator[list[Any]]:
    return (values[:place] + values[place + 1 :] for place in range(len(values)))
