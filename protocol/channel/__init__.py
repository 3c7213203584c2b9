"""The channel: handshake (EDHOC), the trust options that decide whom to believe, protected records.

Nothing here knows what is said through it: messages and parties are other layers.
"""
