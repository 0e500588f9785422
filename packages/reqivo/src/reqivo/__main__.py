"""``python -m reqivo``: see ``reqivo.cli``."""

import sys

from reqivo.cli import main

if __name__ == "__main__":
    sys.exit(main())
