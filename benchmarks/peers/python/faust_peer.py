"""The peer on Faust (faust-streaming): an agent on a stream, one event at a time or with `take_events`."""

import tempfile

import faust
from fast_scoring import FastScorer
from guide_scoring import GuideScorer
from job import Job, read_job
from pydantic import ValidationError

_BATCH = 1_000
_BATCH_WAIT_S = 0.1


def application(job: Job) -> faust.App:
    """The Faust application with its agent."""
    batching = {"producer_linger": 0.01, "producer_max_batch_size": 262_144} if job.variant == "fast" else {}
    app = faust.App(
        job.group_id,
        broker=";".join(f"kafka://{server}" for server in job.bootstrap_servers.split(",")),
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        datadir=tempfile.mkdtemp(),
        **batching,
    )
    applications = app.topic(job.applications_topic, key_serializer="raw", value_type=bytes, value_serializer="raw")
    decisions = app.topic(job.decisions_topic, key_serializer="raw", value_type=bytes, value_serializer="raw")
    if job.variant == "guide":
        guide = GuideScorer(job)

        @app.agent(applications)
        async def decide(stream: faust.StreamT[bytes]) -> None:
            async for event in stream.events():
                try:
                    decision = guide.score(event.value)
                except ValidationError:
                    continue
                await decisions.send(key=event.key, value=decision)

    else:
        fast = FastScorer(job)

        @app.agent(applications)
        async def decide_batches(stream: faust.StreamT[bytes]) -> None:
            async for events in stream.take_events(_BATCH, within=_BATCH_WAIT_S):
                scored = fast.score([event.value for event in events])
                for event, decision in zip(events, scored, strict=True):
                    if decision is not None:
                        await decisions.send(key=event.key, value=decision)

    return app


if __name__ == "__main__":
    faust.Worker(application(read_job(variants=("guide", "fast"))), loglevel="WARNING").execute_from_commandline()
