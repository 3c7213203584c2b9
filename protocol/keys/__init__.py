"""Keys: the port to key memory, key memory in software and in a sealed file, certificates."""
