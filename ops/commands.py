"""The commands. Each is thin: read, one call, a screen; whatever takes long to import is imported inside.

No command can give a result to what may have reached Alipay: that takes its signed word, which the deployed functions
hear.
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


WHY_MAX = 500


@app.callback()
def aim(
    context: typer.Context,
    stack: Annotated[str, typer.Option(envvar="AUTODEBIT_STACK", help="The CloudFormation stack.")] = "autodebit",
    local: Annotated[Path | None, typer.Option(help="The local stack's stack.json, instead of AWS.")] = None,
) -> None:
    """Payments that wait, why, and what to do about it. It uses your own AWS credentials, and obeys AWS_PROFILE and
    AWS_REGION."""
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
    """The whole story of a payment or a refund on one screen."""
    stack = _stack(context)
    _show(stack, stack.find(key), as_json=as_json)


@app.command()
def inquire(context: typer.Context, key: Id, as_json: Json = False) -> None:
    """Ask Alipay now, and let its signed answer decide."""
    from ops import asking

    stack = _stack(context)
    asking.inquire(stack, stack.find(key))
    _show(stack, stack.find(key), as_json=as_json)


@app.command()
def poll(context: typer.Context, key: Id) -> None:
    """Have it looked at through the whole schedule once more."""
    from ops import asking

    stack = _stack(context)
    started = asking.poll(stack, stack.find(key))
    print(f"{key} {'is polled from now on' if started else 'is being polled already'}")


@app.command()
def cancel(context: typer.Context, key: Id, as_json: Json = False) -> None:
    """Cancel a payment: the same as POST /payments/ID/cancel."""
    from autodebit.payment.order import Order

    from ops import asking

    stack = _stack(context)
    order = stack.find(key)
    if not isinstance(order, Order):
        raise OpsFailed(f"{key} is a refund, and no refund is cancelled")
    asking.cancel(stack, order)
    _show(stack, stack.find(key), as_json=as_json)


@app.command()
def acknowledge(
    context: typer.Context, key: Id, why: Annotated[str, typer.Option(help="Kept with the row, and shown by show.")]
) -> None:
    """Take a payment or refund off the list of what waits for a person. Who, when and why stays with the row."""
    from autodebit.payment.order import Order

    stack = _stack(context)
    row = stack.find(key)
    if not why.strip() or len(why) > WHY_MAX:
        raise OpsFailed(f"--why needs 1 to {WHY_MAX} characters")
    now = _now()
    written = (
        stack.orders.acknowledge(row, stack.operator, why, now)
        if isinstance(row, Order)
        else stack.refunds.acknowledge(row, stack.operator, why, now)
    )
    if written.won:
        print(f"{key} is acknowledged by {stack.operator}")
    elif len(written.row.told) > len(row.told):
        raise OpsFailed(f"more was told of {key} meanwhile: look again with `ops show {key}`")
    else:
        raise OpsFailed(f"{key} does not wait for a person")


@app.command()
def verify(
    context: typer.Context,
    message: Annotated[typer.FileBinaryRead, typer.Argument(help="Headers, a blank line, the body; - reads them.")],
    secret: Annotated[Path | None, typer.Option(help="The secret's JSON in a file, instead of the stack's.")] = None,
    base_url: Annotated[str | None, typer.Option(help="What Alipay was given, instead of the stack's.")] = None,
    call: Annotated[str | None, typer.Option(help="For an answer: the API called, such as payments/pay.")] = None,
    as_json: Json = False,
) -> None:
    """Why a notification or an answer does not verify: names the part that does not fit. Exit status 1 if any."""
    from autodebit.alipay.credentials import parse_credentials
    from autodebit.errors import CredentialsUnavailable

    from ops.diagnosis import MEANING, diagnose
    from ops.pasted import parse_pasted

    pasted = parse_pasted(message.read())
    stack = None if secret and (base_url or pasted.is_answer) else _stack(context)
    try:
        text = secret.read_text("utf-8") if secret else stack.read_secret() if stack else ""
        credentials = parse_credentials(text)
    except (CredentialsUnavailable, OSError) as error:
        raise OpsFailed(f"the secret: {error}") from None
    names = diagnose(pasted, credentials, base_url or (stack.outputs["ApiUrl"] if stack else ""), call)
    if as_json:
        _print_json({"genuine": not names, "faults": [{"name": name, "meaning": MEANING[name]} for name in names]})
    else:
        print(
            "\n".join(f"{name}: {MEANING[name]}" for name in names) or "It is Alipay's, and meant for this client id."
        )
    raise typer.Exit(bool(names))


@app.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Are keys, client id, gateway and notify URL right? Makes one harmless signed call. Exit status 1 if not."""
    from ops.check import check as look

    checked = []
    for one in look(_stack(context)):
        checked.append(one)
        if not as_json:
            print(f"{'right' if one.right else 'WRONG'}  {one.name}: {one.detail}")
    if as_json:
        _print_json([one.document for one in checked])
    raise typer.Exit(not all(one.right for one in checked))


events = typer.Typer(no_args_is_help=True, help="What is told on the bus.")
app.add_typer(events, name="events")


@events.callback()
def _events() -> None:
    """What is told on the bus."""


@events.command("replay")
def replay_(
    context: typer.Context,
    start: Annotated[datetime | None, typer.Option("--from", help="UTC, unless it has an offset.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Before this.")] = None,
    dead_letters: Annotated[bool, typer.Option(help="What the dead letters are about; they are deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Tell again, from the rows: the same eventId and the same bytes as before. A range scans the tables.

    Exit status 1 if the bus did not take an event, or if a dead letter remains."""
    from ops import telling

    if dead_letters == (start is not None) or (start is None) != (end is None):
        raise OpsFailed("say either --from and --to, or --dead-letters")
    stack = _stack(context)
    if start is None or end is None:
        letters = telling.dead_letters(stack)
        if as_json:
            _print_json(letters.document)
        else:
            print("\n".join(telling.lines(letters)))
        raise typer.Exit(bool(letters.bad or letters.remain))
    told, refused = telling.put(stack, telling.told_between(stack, _utc(start), _utc(end)))
    if as_json:
        _print_json({"told": told, "refused": refused})
    else:
        print(f"{told} events told again")
    if refused:
        raise OpsFailed(f"the bus did not take {', '.join(refused)}")


@app.command()
def day(
    context: typer.Context,
    date: Annotated[datetime, typer.Argument(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"])],
    reference: Annotated[str | None, typer.Option(help="Only those of this referenceOrderId.")] = None,
    as_json: Json = False,
) -> None:
    """The payments of a day (UTC+8) as CSV: those with a result of that day, and those asked for then and open."""
    from autodebit.payment.order import order_document

    from ops.day import write

    orders = _stack(context).orders_of(date.date().isoformat(), reference)
    if as_json:
        _print_json([order_document(order) for order in sorted(orders, key=lambda order: order.created_at)])
    else:
        write(orders, sys.stdout)


@app.command()
def agreements(
    context: typer.Context,
    days: Annotated[int, typer.Option(help="Tokens that fall due within so many days are listed, too.")] = 30,
    as_json: Json = False,
) -> None:
    """Agreements that are being exchanged or revoked, or whose token falls due."""
    from ops import documents, screens

    now = _now()
    found = sorted(_stack(context).agreements_open(now, days), key=lambda agreement: agreement.created_at)
    if as_json:
        _print_json([documents.agreement(one, now) for one in found])
    else:
        _print(screens.agreements(found, now))


@app.command()
def agreement(context: typer.Context, key: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """One agreement: its state, who ended it, when its token falls due. Never a token."""
    from autodebit.errors import AgreementNotFound

    from ops import documents, screens

    try:
        found = _stack(context).agreements.get(key)
    except AgreementNotFound:
        raise OpsFailed(f"there is no agreement {key}") from None
    if as_json:
        _print_json(documents.agreement(found, _now()))
    else:
        _print(screens.agreement(found, _now()))


def _show(stack: Stack, row: "Order | Refund", *, as_json: bool) -> None:
    from autodebit.payment.order import Order

    from ops import documents, screens

    now = _now()
    refunds = stack.refunds.of_order(row) if isinstance(row, Order) else []
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


reports = typer.Typer(no_args_is_help=True, help="Alipay's report files.")
app.add_typer(reports, name="reports")


@reports.command()
def fetch(
    context: typer.Context,
    merchant: Annotated[str, typer.Option(help="Your merchant id, as the server's folder is called.")],
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day of the folder, UTC+8.")],
    user: Annotated[str, typer.Option(envvar="ALIPAY_SFTP_USER")],
    host_key: Annotated[Path, typer.Option(help="A file with the server's public key, as Alipay's support told it.")],
    host: Annotated[str, typer.Option()] = "isftp.alipay.com",
    port: Annotated[int, typer.Option()] = 22,
    key: Annotated[Path | None, typer.Option(help="Your private key; else ALIPAY_SFTP_PASSWORD counts.")] = None,
) -> None:
    """Bring a day's report files by SFTP and put them into the stack's inbox."""
    stack = _stack(context)
    import os

    from ops import fetching
    from ops.stack import client

    s3, bucket = client("s3"), stack.outputs["ReportsBucket"]
    password = os.environ.get("ALIPAY_SFTP_PASSWORD")
    try:
        server = fetching.Server(host, port, user, host_key.read_text(), password, key)
    except OSError as error:
        raise OpsFailed(f"{host_key}: {error.strerror}") from None
    names = fetching.fetch(
        server, merchant, day.date(), lambda name, path: s3.upload_file(str(path), bucket, f"inbox/{name}")
    )
    _print("\n".join(names) or "no files of that day")


def _stack(context: typer.Context) -> Stack:
    return open_stack(*context.obj)


def _now() -> datetime:
    return datetime.now(UTC)


def _utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


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
    except Exception as error:
        raise SystemExit(f"ops: {_in_a_line(error)}") from None


def _in_a_line(error: Exception) -> str:
    """What went wrong with the stack, AWS or a row. A defect of this program is raised as it is."""
    from autodebit.errors import AutodebitError
    from botocore.exceptions import BotoCoreError, ClientError

    if not isinstance(error, (OpsFailed, AutodebitError, BotoCoreError, ClientError)):
        raise error
    return str(error) or type(error).__name__
