"""The version of the package."""

__version__ = "0.1.0"
"""The version, as PEP 440 writes it; `Result.provenance` holds it too.

Examples:
    >>> print(ftsdk.__version__)
"""
