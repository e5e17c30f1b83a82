"""Jobs that record everybody of a room in one picture (API reference section 3.5)."""

from collections.abc import Sequence

from worker.api.operation import Answer, AnyOperation, Call, Group, Operation
from worker.api.routes.job_creation import JobsContext, create_job
from worker.api.wire.job_answer import MixJobTold, mix_job_told
from worker.api.wire.job_mix import check_images
from worker.api.wire.job_record import mix_job, with_mix
from worker.api.wire.job_request import MixJobChange, MixJobRequest
from worker.jobs.values import JobKind, JobRecord

_JOBS = "/v2/apps/{app_id}/mix-stream-jobs"
_JOB = f"{_JOBS}/{{job_id}}"


class MixJobs:
    """Operations 16 to 19 of the API reference."""

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
                name="create_mix_job",
                handler=self._create,
                request=MixJobRequest,
                responses={201: MixJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="GET",
                path=_JOB,
                name="show_mix_job",
                handler=self._show,
                responses={200: MixJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="PUT",
                path=_JOB,
                name="update_mix_job",
                handler=self._update,
                request=MixJobChange,
                responses={200: MixJobTold},
                group=Group.JOBS,
            ),
            Operation(
                method="DELETE",
                path=_JOB,
                name="stop_mix_job",
                handler=self._stop,
                responses={204: None},
                group=Group.JOBS,
            ),
        )

    async def _create(self, call: Call[MixJobRequest, None]) -> Answer:
        room_id = call.body.mix_param.room_id
        job = await create_job(self._context, call, room_id, mix_job)
        return Answer(201, mix_job_told(job))

    async def _show(self, call: Call[None, None]) -> Answer:
        job = await self._records.job(*_job(call))
        return Answer(200, mix_job_told(job))

    async def _update(self, call: Call[MixJobChange, None]) -> Answer:
        granted = await self._context.granted_buckets(call.account.account_id)

        def change(job: JobRecord) -> JobRecord:
            changed = with_mix(job, call.body.mix_param)
            check_images(changed.document["mix_param"], granted)
            return changed

        job = await self._orders.update(*_job(call), change)
        return Answer(200, mix_job_told(job))

    async def _stop(self, call: Call[None, None]) -> Answer:
        await self._orders.stop(*_job(call))
        return Answer(204)


def _job(call: Call[MixJobChange, None] | Call[None, None]) -> tuple[str, str, JobKind, str]:
    return call.account.account_id, call.path["app_id"], JobKind.MIX, call.path["job_id"]
