"""Files that others wrote, read within limits: only regular files, no more of them and nothing else than what is meant."""
