"""`python -m caffe` is the `caffe` command."""

import sys

from caffe.commands.main import main

sys.exit(main())
