"""The version of this distribution, as its metadata has it."""

from importlib.metadata import version

__version__ = version("reqivo-core")
