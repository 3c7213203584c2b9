"""The parties, each a table in a file of its own; nothing else knows what a party may do. All of them: `tables.py`."""
