"""What comes from outside, within limits: files of the kinds that are meant and no others, and callers' arguments."""
