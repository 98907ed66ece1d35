"""`python -m crfasrnn`: the command `crfasrnn` where it is not on the PATH."""

import sys

from crfasrnn.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
