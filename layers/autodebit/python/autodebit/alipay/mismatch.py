"""A message with another id, amount or currency than ours settles nothing, and neither does a success without them."""

from typing import Any

from autodebit.alipay.amount import Amount
from autodebit.alipay.strict_json import text_at


def mismatch(message: dict[str, Any], id_name: str, own_id: str, amount_name: str, amount: Amount) -> str | None:
    """What the message says under `id_name` and `amount_name` that is not ours; None if it contradicts nothing."""
    if id_name in message and message[id_name] != own_id:
        return f"another {id_name}"
    if amount_name in message:
        currency, value = text_at(message, amount_name, "currency"), text_at(message, amount_name, "value")
        if (currency, value) != (amount.currency, amount.value):
            return f"{amount_name} {_quoted(currency)} {_quoted(value)}"
    return None


def _quoted(text: str | None) -> str:
    return "missing" if text is None else text[:16]


def unnamed(message: dict[str, Any], id_name: str, amount_name: str) -> str | None:
    """What a message that reports a success has to name and does not; None if it names all of it."""
    if id_name in message and amount_name in message:
        return None
    return f"success without {id_name} and {amount_name}"
