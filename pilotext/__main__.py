"""`python -m pilotext` is the command `pilotext`."""

import sys

from pilotext.cli.main import main

sys.exit(main())
