"""Reading the credentials' secret from Secrets Manager."""

from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from autodebit.errors import CredentialsUnavailable


def secret_reader(secret_id: str) -> Callable[[], str]:
    """A function that reads the secret's current text. Raises CredentialsUnavailable; never quotes the text."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
    client: Any = boto3.client("secretsmanager", config=config)

    def read() -> str:
        try:
            return str(client.get_secret_value(SecretId=secret_id)["SecretString"])
        except (BotoCoreError, ClientError) as error:
            raise CredentialsUnavailable(type(error).__name__) from error
        except KeyError:
            raise CredentialsUnavailable("the secret is binary, not text") from None

    return read
