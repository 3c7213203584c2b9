"""insitu: personalize the security modules of ATMs where they stand."""

__version__ = "0.1.0"
