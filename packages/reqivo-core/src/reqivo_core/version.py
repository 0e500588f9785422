"""The version of all five distributions.

It stands here, and is not asked of the metadata, which costs half as much as all the rest of ``import reqivo``.
``tools/set_version.py`` carries it.
"""

__version__ = "0.1.0"
