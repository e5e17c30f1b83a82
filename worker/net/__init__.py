"""The way out: whom the worker may call, and connections to nobody else.

reach.py    which addresses are allowed; pure
lookup.py   names to addresses, on threads that may hang
dial.py     one look-up, a check of every address, a connection to a checked one
tls.py      whom we believe
"""
