"""The shell: parties with their stores and links, as programs and people use them."""
