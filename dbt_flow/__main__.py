"""``python -m dbt_flow``."""

import sys

from dbt_flow.cli import main

if __name__ == "__main__":
    sys.exit(main())
