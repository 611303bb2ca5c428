"""External fault injector for Linux."""

__version__ = "0.1.0"
