"""`python -m streamscribe`."""

from __future__ import annotations

import sys

from streamscribe.cli import main

sys.exit(main())
