"""All records together."""

from worker.jobs.records.accounts import Accounts
from worker.jobs.records.apps import Apps
from worker.jobs.records.buckets import Buckets
from worker.jobs.records.jobs import Jobs
from worker.jobs.records.leases import Leases
from worker.jobs.records.messages import Messages
from worker.jobs.records.requests import Requests
from worker.jobs.records.rules import Rules
from worker.jobs.records.tokens import Tokens


class SqlRecords(Accounts, Tokens, Requests, Apps, Rules, Buckets, Jobs, Messages, Leases):
    """Fulfils `ports.Records`: one class, cut by theme into files."""
