"""A whole world in one process and one run that repeats: units, cards, central systems, hundreds of modules, bad luck.

The parties are those of the field, by the same classes and programs; what is simulated is what lies around them: time,
chance, links, disks, people. `plan.py` says what may go wrong in which world, `world.py` holds it together,
`invariants.py` says what must hold whatever goes wrong, `run.py` runs one world from its seed to its verdict.
"""
