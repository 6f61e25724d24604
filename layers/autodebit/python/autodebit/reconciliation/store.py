"""Where report files come from and results go: a bucket, or a folder on a person's machine. Both are laid out alike.

inbox/<file name>                   what Alipay sent
results/<file name>/                differences.csv, report.html, summary.json
state/<day>/<delivery>-lines.csv.gz  which transactions of the day its own file had
state/<day>/<delivery>-strays.csv.gz  which a file had that is of another day, or of a settlement
state/<day>/<delivery>-known.json    which differences it had
state/reported/<day>.json            the day's own file came, and what it misses is not concluded yet
state/files/<file name>.json         how often other bytes came under this name, and whether the last were told
state/rest/<delivery>/<number>.json  what is to be inquired and booked after a file, some at a time
state/batches/<batch id>,<currency>/...  what the settlement reports of a batch say
state/waiting/<day>/<batch id>,<currency>.json  the batch lacked lines on this day
rest/<delivery>/<number>             put to begin with these of state/rest/
"""

import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import ClientError

from autodebit import aws

_CONFIG = Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 4, "mode": "standard"})


class Store(Protocol):
    """Files by key. Keys have slashes."""

    def fetch(self, key: str, target: Path) -> bool:
        """Bring a file to `target`; False if there is none of this key."""

    def put(self, key: str, source: Path) -> None: ...

    def remove(self, key: str) -> None:
        """No harm if there is none."""

    def keys(self, prefix: str) -> Iterator[str]: ...


class Bucket:
    """A bucket of S3."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _client(self) -> Any:
        return aws.session().create_client("s3", config=_CONFIG)

    def fetch(self, key: str, target: Path) -> bool:
        return self._fetch(key, target) is not None

    def fetch_declared(self, key: str, target: Path) -> str | None:
        """Bring a file to `target`. Its charset as it was stored; None if it is gone.

        `Content-Type: text/csv; charset=gbk` declares GBK; a file that declares nothing is UTF-8.
        """
        answer = self._fetch(key, target)
        if answer is None:
            return None
        charset = re.search(r"charset=\"?([\w-]+)", answer.get("ContentType", ""))
        return charset[1].lower() if charset else "utf-8"

    def _fetch(self, key: str, target: Path) -> Any:
        try:
            answer = self._client.get_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
        with target.open("wb") as file:
            shutil.copyfileobj(answer["Body"], file, 1 << 20)
        return answer

    def put(self, key: str, source: Path) -> None:
        with source.open("rb") as file:
            self._client.put_object(Bucket=self._name, Key=key, Body=file)

    def remove(self, key: str) -> None:
        self._client.delete_object(Bucket=self._name, Key=key)

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        for page in pages:
            yield from (entry["Key"] for entry in page.get("Contents", []))


class Folder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self, key: str, target: Path) -> bool:
        source = self._path / key
        if not source.is_file():
            return False
        shutil.copyfile(source, target)
        return True

    def put(self, key: str, source: Path) -> None:
        target = self._path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def remove(self, key: str) -> None:
        (self._path / key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted(self._path.rglob("*")):
            key = path.relative_to(self._path).as_posix()
            if path.is_file() and key.startswith(prefix):
                yield key
