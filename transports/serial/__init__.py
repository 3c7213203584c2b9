"""The serial line, from the wire up: port.py opens it, link.py makes it reliable, ptypair.py stands in for one.

cobs.py, frames.py, arq.py and endpoint.py are the link layer without I/O, each resting on the one before.
"""
