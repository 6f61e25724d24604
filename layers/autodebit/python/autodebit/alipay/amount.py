"""Money on the wire, and which amounts can be moved.

https://docs.antom.com/ac/ref/cc
"""

import re
from dataclasses import dataclass
from typing import Any, Self

from autodebit.alipay.fields import Fields, Text
from autodebit.errors import FieldError

CURRENCY = Text(3, True, re.compile(r"[A-Z]{3}"), "must be three capital letters (ISO 4217)")
POSITIVE_VALUE = re.compile(r"[1-9][0-9]{0,15}")
POSITIVE = Text(
    16,
    True,
    POSITIVE_VALUE,
    "must be 1 to 16 digits in the currency's minor unit, greater than zero, without a leading zero",
)
STATED = Text(
    16,
    True,
    re.compile(r"0|[1-9][0-9]{0,15}"),
    "must be 1 to 16 digits in the currency's minor unit, without a leading zero",
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Money as it stands on the wire: `value` is a string of digits in the currency's minor unit."""

    currency: str
    value: str

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """The amount in a document that was checked by `amount_fields`."""
        return cls(document["currency"], document["value"])

    @property
    def document(self) -> dict[str, str]:
        """The amount as messages and answers carry it."""
        return {"currency": self.currency, "value": self.value}


def amount_fields(value: Text, *, required: bool = False) -> Fields:
    """The rule of an amount whose value has the rule `value`: POSITIVE or STATED."""
    return Fields({"currency": CURRENCY, "value": value}, required)


MULTIPLES: dict[tuple[str | None, str], int] = {(None, "IDR"): 100, ("JKOPAY", "TWD"): 100, ("OCTOPUS", "HKD"): 10}
"""`{(wallet, currency): of what an amount must be a multiple}`, in minor units; no wallet means every wallet.

Rupiah has two decimals on the wire, and only whole rupiah move. https://docs.antom.com/ac/ref/cc
"""


def multiple_fault(amount: Amount, name: str, wallet: str | None = None) -> list[FieldError]:
    """The fault of an amount that this currency, or this wallet (`paymentMethodType`), does not move."""
    for of in (None, wallet):
        multiple = MULTIPLES.get((of, amount.currency), 1)
        if int(amount.value) % multiple:
            within = f"{amount.currency} with {of}" if of else amount.currency
            return [FieldError(f"{name}.value", f"must be a multiple of {multiple} in {within}, in minor units")]
    return []
