"""Drop from the layer what no function reads: less to load at a cold start. Usage: trim.py SITE_PACKAGES"""

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any

SERVICES = {
    "dynamodb": "dynamodb",
    "events": "events",
    "kms": "kms",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "sqs": "sqs",
    "stepfunctions": "states",
}
"""The services whose descriptions botocore keeps, and what each is called among the endpoints."""


def trim(site: Path) -> None:
    """Remove tests, pages that no function serves, services that none calls, documentation of the others."""
    for folder in [site / "boto3" / "examples", site / "boto3" / "data", *site.rglob("tests")]:
        shutil.rmtree(folder, ignore_errors=True)
    for page in (site / "aws_lambda_powertools" / "event_handler" / "openapi" / "swagger_ui").glob("*.min.*"):
        page.unlink()
    data = site / "botocore" / "data"
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for description in data.rglob("service-2.json.gz"):
        service = _without_documentation(json.loads(gzip.decompress(description.read_bytes())))
        for parameter in service.get("clientContextParams", {}).values():
            parameter["documentation"] = ""  # botocore reads the name
        _write(description.with_suffix(""), service)
        description.unlink()
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in SERVICES.values() if name in services}
    _write(data / "endpoints.json", endpoints)


def _without_documentation(value: Any) -> Any:
    """A description without the texts that only botocore's own help shows; a shape may have a member of that name."""
    if isinstance(value, dict):
        return {
            name: _without_documentation(inner)
            for name, inner in value.items()
            if not (name == "documentation" and isinstance(inner, str))
        }
    if isinstance(value, list):
        return [_without_documentation(inner) for inner in value]
    return value


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
