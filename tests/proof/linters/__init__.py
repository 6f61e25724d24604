"""The linters have nothing to say about the repository, and would have: each is shown a defect too."""
