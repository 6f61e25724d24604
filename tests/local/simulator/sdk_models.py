"""Run by the simulator's own Python: what Alipay's official SDK writes as requests, and what it reads of messages.

python sdk_models.py write < {"Module": {"attribute": value, …}}    prints the body of each request
python sdk_models.py read  < {"Module": "body"}                     prints the fields that each model did not read
"""

import importlib
import json
import re
import sys
from typing import Any

API = "com.alipay.ams.api"


def model(name: str) -> Any:
    """The class of `request.pay.alipay_refund_request`, say."""
    module = importlib.import_module(f"{API}.{name}")
    class_name = "".join(part.capitalize() for part in name.rpartition(".")[2].split("_"))
    return getattr(module, class_name)


def written(name: str, attributes: dict[str, Any]) -> str:
    request = model(name)()
    for attribute, value in attributes.items():
        setattr(request, attribute, value)
    body: str = request.to_ams_json()
    return body


def unread(name: str, body: str) -> list[str]:
    message = model(name)(body)
    attributes = {field: re.sub(r"([A-Z])", r"_\1", field).lower() for field in json.loads(body)}
    return [field for field, attribute in attributes.items() if getattr(message, attribute, None) is None]


def main() -> None:
    given = json.load(sys.stdin)
    work: Any = written if sys.argv[1] == "write" else unread
    json.dump({name: work(name, item) for name, item in given.items()}, sys.stdout)


if __name__ == "__main__":
    main()
