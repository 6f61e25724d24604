"""An authentic notification of a result, and the fields it must have, whatever it is about."""

from collections.abc import Iterable, Sequence
from typing import Any

from autodebit.alipay.strict_json import JsonInvalid, parse_message, text_at
from autodebit.errors import NotificationMalformed

ID_CHARACTERS_MAX = 64


def parse_result_notification(
    body: bytes, *, about: str, id_name: str, needed: Iterable[tuple[str, ...]], notify_types: Sequence[str]
) -> dict[str, Any]:
    """A message `about` something, with the fields without which nothing follows from it.

    Others are missing in some editions. Raises NotificationMalformed.
    """
    try:
        notification = parse_message(body)
    except JsonInvalid as error:
        raise NotificationMalformed(str(error)) from None
    for path in (("notifyType",), ("result", "resultCode"), ("result", "resultStatus"), (id_name,), *needed):
        if text_at(notification, *path) is None:
            raise NotificationMalformed(f"{'.'.join(path)} is missing or is no string")
    if not 1 <= len(notification[id_name]) <= ID_CHARACTERS_MAX:
        raise NotificationMalformed(f"{id_name} must have 1 to {ID_CHARACTERS_MAX} characters")
    if notification["notifyType"] not in notify_types:
        raise NotificationMalformed(f"notifyType is not one of a {about}")
    return notification
