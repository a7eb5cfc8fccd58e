"""What a node is asked before it is trusted; it travels as code, since ftsdk may differ there."""


def installed() -> str:
    """Return the version of the ftsdk that a program finds here."""
    try:
        from ftsdk.version import __version__
    except Exception as error:
        return f"none: {error}"
    return __version__
