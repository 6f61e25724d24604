"""Reading the credentials' secret from Secrets Manager."""

from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from autodebit import aws
from autodebit.errors import CredentialsUnavailable


@cache
def _client() -> Any:
    """botocore's own client: boto3 around it would add 40 ms to a cold start that a person or Alipay waits for."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
    return aws.session().create_client("secretsmanager", config=config)


def secret_reader(secret_id: str) -> Callable[[], str]:
    """A function that reads the secret's current text. Raises CredentialsUnavailable; never quotes the text."""

    def read() -> str:
        try:
            return str(_client().get_secret_value(SecretId=secret_id)["SecretString"])
        except (BotoCoreError, ClientError) as error:
            raise CredentialsUnavailable(type(error).__name__) from error
        except KeyError:
            raise CredentialsUnavailable("the secret is binary, not text") from None

    return read
