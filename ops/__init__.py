"""The operator's command line: what waits, why, and what to do about it. It is never shipped in a function."""
