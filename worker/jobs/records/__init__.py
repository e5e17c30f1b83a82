"""What the control plane has on record, in SQLite or PostgreSQL.

`open_records` gives `ports.Records`, fulfilled by `sql_records`, which is cut by theme: `accounts`,
`tokens`, `requests`, `apps`, `rules`, `buckets`, `jobs`, `messages`, `leases`. Below them lie
`database` (transactions and what may go wrong in them), `schema` (tables), `migrations` with
`migrate`, and `seal` (encryption at rest) with `resealing`.
"""

from worker.jobs.records.opened import open_records
from worker.jobs.records.seal import Seal

__all__ = ["Seal", "open_records"]
