"""The composition root: settings and a job become adapters, an engine and a result file.

job        one job from its spec to its result
outputs    what it delivers to: files, stores, callbacks, live pushes
stores     which store an address means
recovery   what crashed workers left
rooms      which adapter a room's spec means
signals    stop signals
result     the result file
"""

from worker.app.job import Outcome, run_job
from worker.app.signals import StopSignals

__all__ = ["Outcome", "StopSignals", "run_job"]
