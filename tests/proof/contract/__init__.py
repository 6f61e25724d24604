"""docs/openapi.yaml held against the deployed template with thousands of requests."""
