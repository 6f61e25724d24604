"""Drop from the layer what no function reads. Usage: trim.py SITE_PACKAGES"""

import shutil
import sys
from pathlib import Path

SERVICES = {"dynamodb", "secretsmanager", "stepfunctions"}
"""The services whose descriptions botocore keeps; files beside the folders (endpoints.json, partitions.json) stay."""


def trim(site: Path) -> None:
    """Remove tests, boto3's resource descriptions, and botocore's descriptions of services that are not used."""
    for folder in (site / "botocore" / "data").iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            shutil.rmtree(folder)
    for folder in [site / "boto3" / "examples", site / "boto3" / "data", *site.rglob("tests")]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
