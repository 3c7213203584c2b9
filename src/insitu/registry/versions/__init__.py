"""The steps from one schema to the next, run by Alembic; each is frozen once it was released."""
