"""What holds for every test."""

from hypothesis import settings

# Examples are slow when a neighbour of this machine is busy; pytest has a timeout of its own.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
