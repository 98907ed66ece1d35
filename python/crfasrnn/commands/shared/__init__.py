"""Options that some of the commands share."""
