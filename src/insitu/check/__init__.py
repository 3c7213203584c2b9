"""The model checker: the parties' real tables with an intruder among them, in every order of events within bounds.

Nothing is modelled by hand. What moves is the product's own sessions, tables, trust options, ports and programs, with
real keys, certificates and logs, deterministic and forked at will (memory.py, parties.py). Since a step of a session is
a pure function of the session, its store and the event, it is computed once and remembered; a state of the world is a
tuple of numbers (values.py, scenario.py), and the search is breadth-first over all of them (search.py).

One thing is abstracted: the arithmetic of EDHOC and of the records (channel.py says what is assumed of them, and where
that is shown). Time stands still: a deadline may pass whenever its timer runs; of what expires by the clock, there is
the one moment at which a symmetric key does.

There are several kinds of worlds. In one (world.py, personalizing.py): module SN-1, which may meet units repeatedly,
crash at any point of a step and be reset; two banks with a unit, a card and an approved job each; people who may
approve another job; the mobile. In the other (at_work.py, operating.py): the same module, personalized, its central
system with two sessions at a time, the ATM controller, operators, copies of stores. In both an intruder who owns the
network, holds a stolen module and all names (intruder.py, intruder_at_work.py). Others are the first with something
more: the manufacturer's revocation lists (listing.py), a standing approval (standing.py); or the second: a thief with
the card (lost_card.py). At the manufacturer's bench there are programs only (delivering.py); last, a card that brings
its central system its log (syncing.py).

What must hold is in invariants.py, work_invariants.py and liveness.py, or beside its world; what SECURITY.md says an
option does not withstand must be found (attacks.py), and themes.py has what belongs to no option.
"""
