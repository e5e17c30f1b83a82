"""Steps from one version of the schema to the next; never changed once released.

A new one goes into `versions/` as `v0002.py`, names the one before as `down_revision`, and leaves
what `schema` says. Nobody goes back: `downgrade` is not written.
"""
