"""Traces: where the time of a call or an operation goes. Off unless the settings name a receiver;
what is off costs a look at a variable, and OpenTelemetry is not imported.
"""

from service.process.tracing.steps import (
    JobTrace,
    Tick,
    Trace,
    TracedCall,
    Traces,
    begin_job,
    following,
    step,
    untraced,
)

__all__ = [
    "JobTrace",
    "Tick",
    "Trace",
    "TracedCall",
    "Traces",
    "begin_job",
    "following",
    "step",
    "untraced",
]
