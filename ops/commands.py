"""The commands. Each is thin: read, one call, a screen; whatever takes long to import is imported inside.

No command can give a payment a result: that takes Alipay's signed word, which the deployed functions hear.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.stack import OpsFailed, Stack, open_stack

if TYPE_CHECKING:
    from autodebit.payment.order import Order
    from autodebit.refund.refund import Refund

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

Id = Annotated[str, typer.Argument(metavar="ID", help="A paymentRequestId or a refundRequestId.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts: JSON instead of a screen.")]


@app.callback()
def aim(
    context: typer.Context,
    stack: Annotated[str, typer.Option(envvar="AUTODEBIT_STACK", help="The CloudFormation stack.")] = "autodebit",
    local: Annotated[Path | None, typer.Option(help="The local stack's stack.json, instead of AWS.")] = None,
) -> None:
    """Payments that wait, why, and what to do about it. With your own AWS credentials; AWS_PROFILE and AWS_REGION
    count."""
    context.obj = (stack, local)


@app.command("open")
def open_(context: typer.Context, as_json: Json = False) -> None:
    """What has no result yet, or waits for a person: age, what was heard last, what happens next."""
    from ops import documents, screens

    stack, now = _stack(context), _now()
    rows = sorted(stack.open_rows(), key=lambda row: row.created_at)
    if as_json:
        _print_json([documents.row(row, now, stack.close_after_s) for row in rows])
    else:
        _print(screens.waiting(rows, now))


@app.command()
def show(context: typer.Context, key: Id, as_json: Json = False) -> None:
    """The whole story of a payment or a refund on one screen; of an agreement, its state."""
    stack = _stack(context)
    _show(stack, stack.find(key), as_json=as_json)


def _show(stack: Stack, row: "Order | Refund", *, as_json: bool) -> None:
    from autodebit.payment.order import Order

    from ops import documents, screens

    now = _now()
    refunds = stack.refunds.of_payment(row.key) if isinstance(row, Order) and row.refundable is not None else []
    if as_json:
        _print_json(documents.row(row, now, stack.close_after_s, refunds))
    else:
        _print(screens.show(row, refunds, now, stack.close_after_s))


@app.command()
def reconcile(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Alipay's report files, CSV or XLSX.")],
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path("results"),
    encoding: Annotated[str, typer.Option(help="utf-8, or gbk if Alipay says so.")] = "utf-8",
    as_json: Json = False,
) -> None:
    """Compare report files with the orders and refunds. Exit status 1 if anything differs or is refused."""
    stack = _stack(context)
    from ops import reconciling

    documents = list(reconciling.reconcile(stack, files, output, encoding, _now()))
    if as_json:
        _print_json(documents)
    else:
        _print(reconciling.screen(documents, output))
    if any(document["status"] != "AGREES" for document in documents):
        raise typer.Exit(1)


def _stack(context: typer.Context) -> Stack:
    return open_stack(*context.obj)


def _now() -> datetime:
    return datetime.now(UTC)


def _print(screen: Any) -> None:
    from rich.console import Console

    from ops.screens import WIDTH

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(screen)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()


def main() -> None:
    """Run a command; what went wrong is one line on standard error, and exit status 1."""
    try:
        app(prog_name="ops")
    except OpsFailed as error:
        raise SystemExit(f"ops: {error}") from None
