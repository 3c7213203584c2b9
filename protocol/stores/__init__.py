"""Durable state behind ports: sealed files, atomic replacement, the card log."""
