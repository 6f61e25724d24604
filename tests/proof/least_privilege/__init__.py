"""Every permission that the deployed roles have is needed: without any single one of them the service fails."""
