"""``python -m gitlumo``: the command without installing it on the PATH."""

import sys

from gitlumo.cli import main

sys.exit(main())
