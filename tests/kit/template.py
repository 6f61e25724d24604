"""The template, the state machine and the functions' source, read as data."""

import ast
import functools
import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.kit import ROOT

PACKAGE = ROOT / "layers" / "autodebit" / "python" / "autodebit"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}
"""The modules of the shared package, as `alipay.secret`."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags: `!GetAtt A.Arn` becomes {"GetAtt": "A.Arn"}."""


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {tag: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)

TEMPLATE: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text("utf-8"), _Loader)
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
STATE_MACHINE: dict[str, Any] = json.loads((ROOT / "functions" / "polling.asl.json").read_text("utf-8"))


def of_type(kind: str) -> dict[str, Any]:
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
FUNCTION_NAMES = tuple(
    function["FunctionName"]["Sub"].removeprefix("${AWS::StackName}-") for function in FUNCTIONS.values()
)
"""What the functions are called, without the stack's name before it."""

ROLES = of_type("AWS::IAM::Role")
ALARMS = of_type("AWS::CloudWatch::Alarm")


def statements(role: str) -> list[dict[str, Any]]:
    """The statements of a role's policies, those under a condition among them."""
    return [
        statement["If"][1] if "If" in statement else statement
        for policy in ROLES[role]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(role: str) -> set[str]:
    return {action for statement in statements(role) for action in listed(statement["Action"])}


def role_of(function: str) -> str:
    """The name of a function's role."""
    role = FUNCTIONS[function]["Role"]["GetAtt"]
    assert role.endswith(".Arn")
    return str(role.removesuffix(".Arn"))


@functools.cache
def modules_of(function: str) -> dict[str, ast.Module]:
    """The function's source and what it imports of the shared package, and so on; `alipay.secret` by such names."""
    found = {"app": ast.parse((ROOT / FUNCTIONS[function]["CodeUri"] / "app.py").read_text("utf-8"))}
    waiting = ["app"]
    while waiting:
        for module in imports(found[waiting.pop()]):
            if module not in found:
                found[module] = parsed(module)
                waiting.append(module)
    return found


@functools.cache
def parsed(module: str) -> ast.Module:
    """The source of a module of the shared package."""
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules of the shared package that are imported here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("autodebit."):
            package = str(node.module).removeprefix("autodebit").removeprefix(".")
            if package in MODULES:
                yield package
            else:
                yield from (f"{package}.{alias.name}".removeprefix(".") for alias in node.names)


def calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    """Calls of `name(...)` or `anything.name(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None)):
            yield node


@functools.cache
def environment_read(tree: ast.Module) -> set[str]:
    """Names of the variables read from os.environ, in whatever way."""
    read = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            read.add(ast.literal_eval(node.slice))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
            read.add(ast.literal_eval(node.args[0]))
    return read


def constants_in(node: ast.AST) -> set[str]:
    return {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)}


@functools.cache
def metrics_counted() -> set[str]:
    """Every name that the code counts under, but for those it puts together."""
    names: set[str] = set()
    for tree in {tree for function in FUNCTIONS for tree in modules_of(function).values()}:
        for call in calls(tree, "count"):
            if ast.unparse(call.func) in ("count", "telemetry.count") and not isinstance(call.args[0], ast.JoinedStr):
                names |= constants_in(call.args[0])
        for call in calls(tree, "Sweeper"):
            names.add(ast.literal_eval(call.args[2]))
        for kind in ("add_metric", "single_metric"):
            for call in calls(tree, kind):
                names |= {
                    str(keyword.value.value)
                    for keyword in call.keywords
                    if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
                }
        names |= {f"{kind.capitalize()}Settled" for kind in _kinds(tree)}
    return names


def _kinds(tree: ast.Module) -> set[str]:
    """What the rows are called that are declared here, by their `kind`."""
    return {
        str(ast.literal_eval(node.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "kind" and node.value
    }
