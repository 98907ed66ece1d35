"""The command `crfasrnn`, one module for each of its subcommands."""
