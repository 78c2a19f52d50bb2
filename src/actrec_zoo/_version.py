"""The version of the distribution, read by hatchling and by run folders."""

__version__ = "0.1.0"
