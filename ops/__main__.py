"""`python -m ops`, and the program `ops` where it is installed."""

from ops.commands import main

if __name__ == "__main__":
    main()
