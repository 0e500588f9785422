"""The demo transport ``frames``, from its source: these tests run without any transport installed."""

import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
sys.path.append(str(PLUGINS / "reqivo-demo-frames" / "src"))
