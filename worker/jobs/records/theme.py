"""What each theme of the records has at hand."""

from worker.jobs.records.database import Database
from worker.jobs.records.seal import Seal


class Theme:
    """One subject of `ports.Records`; `sql_records.SqlRecords` is all of them together."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
