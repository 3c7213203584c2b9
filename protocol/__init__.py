"""The product: parties, channel, keys, messages and the engine that runs them.

Nothing here opens a socket, reads a clock or draws a random number; trio appears in `driver.py` only.
"""
