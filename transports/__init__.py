"""Streams of bytes over memory, TCP and serial lines. Nothing here knows what the bytes mean."""
