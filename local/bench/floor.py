"""The floor: the five packages' parts that a payment needs, imported, and botocore's one client. No bundle at all.

They come from the bundle's own layer, bytecode and trimmed data included: what the layer gains, the floor gains too.
"""

import botocore.session
import pynamodb.models
import requests
from aws_lambda_powertools import Logger, Metrics
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

client = botocore.session.get_session().create_client("dynamodb")

__all__ = [
    "SHA256",
    "Logger",
    "Metrics",
    "client",
    "load_der_private_key",
    "load_der_public_key",
    "padding",
    "pynamodb",
    "requests",
    "rsa",
]
