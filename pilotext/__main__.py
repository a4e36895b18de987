"""`python -m pilotext` is the command `pilotext`."""

import sys

from pilotext.worker.stop import hold

hold()  # before the rest is loaded: an order to stop that comes meanwhile is obeyed when somebody listens

from pilotext.cli.main import main  # noqa: E402

sys.exit(main())
