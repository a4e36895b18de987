"""`python -m pilotext` is the command `pilotext`."""

import sys

from pilotext.process_lifetime import forbid_inspection
from pilotext.worker.stop_signals import hold

hold()  # before the rest is loaded: an order to stop that comes meanwhile is obeyed when somebody listens
forbid_inspection()  # and before anything secret is read

from pilotext.cli.main import main  # noqa: E402

sys.exit(main())
