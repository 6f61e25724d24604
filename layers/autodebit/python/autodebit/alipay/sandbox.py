"""The sandbox: a client id that begins with `SANDBOX_` calls other paths of the same hosts.

https://docs.antom.com/ac/ams/api_fund
"""


def api_path(client_id: str, endpoint: str) -> str:
    """The path of an API, as it is called and as it is signed: `/ams/api/v1/payments/pay`."""
    sandbox = "sandbox/" if client_id.startswith("SANDBOX_") else ""
    return f"/ams/{sandbox}api/v1/{endpoint}"
