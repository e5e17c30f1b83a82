"""Jobs that record one user of a room (API reference section 3.6)."""

from collections.abc import Sequence

from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.routes.job_creation import JobsContext, create_job
from worker.api.wire.job_answer import IndividualJobTold, individual_job_told
from worker.api.wire.job_record import individual_job, with_rule
from worker.api.wire.job_request import IndividualJobChange, IndividualJobRequest
from worker.jobs.values import JobKind, JobRecord

_JOBS = "/v2/apps/{app_id}/individual-stream-jobs"
_JOB = f"{_JOBS}/{{job_id}}"


class IndividualJobs:
    """Operations 20 to 23 of the API reference."""

    def __init__(self, context: JobsContext) -> None:
        self._context = context
        self._records = context.records
        self._orders = context.orders

    def operations(self) -> Sequence[AnyOperation]:
        """What is served."""
        return (
            Operation(
                method="POST",
                path=_JOBS,
                name="create_individual_stream_job",
                handler=self._create,
                request=IndividualJobRequest,
                responses={201: IndividualJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="GET",
                path=_JOB,
                name="show_individual_stream_job",
                handler=self._show,
                responses={200: IndividualJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="PUT",
                path=_JOB,
                name="update_individual_stream_job",
                handler=self._update,
                request=IndividualJobChange,
                responses={200: IndividualJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="DELETE",
                path=_JOB,
                name="stop_individual_stream_job",
                handler=self._stop,
                responses={204: None},
                group=Group.JOBS,
            ),
        )

    async def _create(self, call: Call[IndividualJobRequest, None]) -> Answer:
        job = await create_job(self._context, call, call.body.room_id, individual_job)
        return Answer(201, individual_job_told(job))

    async def _show(self, call: Call[None, None]) -> Answer:
        job = await self._records.job(*_job(call))
        return Answer(200, individual_job_told(job))

    async def _update(self, call: Call[IndividualJobChange, None]) -> Answer:
        account_id, app_id, kind, job_id = _job(call)
        # An unknown job goes before an unknown rule.
        await self._records.job(account_id, app_id, kind, job_id)
        rule = await self._records.rule(account_id, app_id, call.body.record_param.record_rule_id)

        def change(job: JobRecord) -> JobRecord:
            return with_rule(job, rule)

        job = await self._orders.update(account_id, app_id, kind, job_id, change)
        return Answer(200, individual_job_told(job))

    async def _stop(self, call: Call[None, None]) -> Answer:
        await self._orders.stop(*_job(call))
        return Answer(204)


def _job(
    call: Call[IndividualJobChange, None] | Call[None, None],
) -> tuple[str, str, JobKind, str]:
    return call.account.account_id, call.path["app_id"], JobKind.INDIVIDUAL, call.path["job_id"]
