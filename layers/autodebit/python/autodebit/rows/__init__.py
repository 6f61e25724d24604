"""Rows in DynamoDB: the guard of one conditional write, and the index of what is watched. It knows no payment."""
