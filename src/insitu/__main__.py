"""python -m insitu."""

from .cli import main

main(prog_name="insitu")
