"""Who may import whom in the shared package, and which of its modules know nothing of the world."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.kit import ROOT
from tests.kit.template import MODULES, imports, parsed

EDGE = ("errors", "instants", "api", "telemetry", "events")
LOOKS = ("polling", "polling_machine")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    # The edge
    "errors": (),
    "instants": (),
    "aws": (),
    "telemetry": ("errors",),
    "api": ("errors", "telemetry"),
    "acknowledge": ("errors", "api", "telemetry", "alipay"),
    # The wire knows no row, a row knows no payment
    "alipay": ("errors", "aws", "alipay"),
    "rows": ("errors", "instants", "aws", "events", "rows"),
    # Wait, look, decide: the same for every kind of row
    "polling": (),
    "polling_machine": ("errors", "polling"),
    "repeat": ("errors", "telemetry", "alipay"),
    "contradiction": ("telemetry", "rows"),
    "settle": ("telemetry", "alipay", "rows", "contradiction"),
    "sweep": ("errors", "telemetry", *LOOKS, "rows"),
    # The capabilities
    "payment": (
        *EDGE,
        *LOOKS,
        *("repeat", "settle", "alipay", "rows", "payment"),
        *("agreement.agreement", "agreement.debit"),
    ),
    "agreement": (*EDGE, *LOOKS, "alipay", "rows", "agreement"),
    "agreement.kms": ("errors", "aws"),
    "agreement.vault": ("errors", "alipay", "agreement.kms"),
    "agreement.token_digest": ("agreement.kms",),
    "refund": (
        *EDGE,
        *LOOKS,
        *("repeat", "contradiction", "settle", "alipay", "rows", "refund"),
        *("payment.naming", "payment.order", "payment.order_table", "payment.outcome"),
    ),
    "reconciliation": (
        *("errors", "instants", "telemetry", "aws", "event_bus", "events", "rows.days"),
        "reconciliation",
        *("alipay.amount", "payment.order", "payment.order_table"),
        *("refund.adopt", "refund.refund", "refund.refund_table", "refund.seen"),
    ),
    # Events out: what is told of a row knows no kind of row
    "events": ("instants",),
    "event_bus": ("errors", "aws", "events"),
    "publish": ("errors", "telemetry", "events", "event_bus"),
}
"""What each module or package may import; what has no line here may import nothing and is a question to ask first."""

OF_THE_WORLD = {
    *("boto3", "botocore", "pynamodb", "requests", "urllib3", "aws_lambda_powertools"),
    *("os", "pathlib", "random", "socket", "ssl", "subprocess", "threading", "time", "uuid"),
}
"""AWS, HTTP, the environment, the clock and chance."""

NOT_PURE = {
    *(
        "aws",
        "telemetry",
        "api",
        "acknowledge",
        "repeat",
        "contradiction",
        "settle",
        "sweep",
        "polling_machine",
        "event_bus",
        "publish",
    ),
    *("rows.days", "rows.attention", "rows.guard", "rows.settling", "rows.table"),
    *("alipay.credentials", "alipay.gateway", "alipay.secret", "alipay.transport"),
    *("agreement.agreement_table", "agreement.answers", "agreement.calls", "agreement.debit", "agreement.link"),
    *("agreement.look", "agreement.receive", "agreement.refresh", "agreement.revoke", "agreement.keep_tokens"),
    *("agreement.kms", "agreement.token_digest", "agreement.vault"),
    *("payment.answers", "payment.cancel", "payment.cancel_call", "payment.count_init", "payment.crossing"),
    *("payment.initiate", "payment.inquire", "payment.order_table", "payment.receive"),
    *("rows.told", "rows.transaction", "rows.watch"),
    *(
        "refund.adopt",
        "refund.answers",
        "refund.initiate",
        "refund.inquire",
        "refund.observe",
        "refund.receive",
        "refund.refund_table",
    ),
    *("reconciliation.books", "reconciliation.inbox", "reconciliation.partitions", "reconciliation.reconcile"),
    *("reconciliation.records", "reconciliation.store", "reconciliation.workbook"),
}
"""The modules that may touch the world. Every other one gets what it needs as an argument, the time too."""

TREES = {module: parsed(module) for module in MODULES}


def belongs(module: str, names: tuple[str, ...]) -> bool:
    """Whether one of `names` is the module, or a package that it is in."""
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def imported_from_outside(tree: ast.Module) -> set[str]:
    """The top packages of all that is imported, inside of functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - {"autodebit"}


def line_of(module: str) -> str:
    """The line of MAY_IMPORT that a module is held to: its own, or its package's."""
    return module if module in MAY_IMPORT else module.partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_whom_it_may(module: str) -> None:
    allowed = MAY_IMPORT.get(line_of(module))
    assert allowed is not None, "nobody has said what it may import"
    assert [name for name in imports(TREES[module]) if not belongs(name, allowed)] == []


@pytest.mark.parametrize("line", MAY_IMPORT)
def test_every_right_to_import_is_used(line: str) -> None:
    imported = {name for module in MODULES if line_of(module) == line for name in imports(TREES[module])}
    assert [right for right in MAY_IMPORT[line] if not any(belongs(name, (right,)) for name in imported)] == []


def test_no_module_imports_itself_by_a_detour() -> None:
    order = TopologicalSorter({module: set(imports(tree)) for module, tree in TREES.items()})
    assert set(order.static_order()) == set(MODULES)


@pytest.mark.parametrize("module", sorted(set(MODULES) - NOT_PURE))
def test_a_pure_module_knows_no_aws_http_environment_or_clock(module: str) -> None:
    tree = TREES[module]
    assert imported_from_outside(tree) & OF_THE_WORLD == set()
    assert set(imports(tree)) & NOT_PURE == set()
    clocks = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in CLOCKS]
    assert clocks == []


CLOCKS = {"now", "utcnow", "today"}


@pytest.mark.parametrize("module", MODULES)
def test_no_age_is_told_by_a_clock_that_stands_still_while_lambda_freezes(module: str) -> None:
    """time.monotonic is asked for deadlines inside of one call; who keeps ages is handed time.time.

    docs/decisions/wall-clock.md
    """
    asked = [node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    handed = [
        node.lineno
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Attribute) and node.attr == "monotonic" and node not in asked
    ]
    assert handed == []


def test_every_module_that_may_touch_the_world_is_there() -> None:
    assert set(MODULES) >= NOT_PURE


@pytest.mark.parametrize("path", sorted(ROOT.glob("functions/*/app.py")), ids=lambda path: path.parent.name)
def test_a_function_writes_no_row_and_decides_nothing_by_itself(path: str) -> None:
    imported = imports(ast.parse((ROOT / path).read_text("utf-8")))
    assert [name for name in imported if belongs(name, ("rows", "settle"))] == []
