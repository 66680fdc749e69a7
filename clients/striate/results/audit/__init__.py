"""What an audit returns: its progress, and its report."""

from striate.results.audit.comparison import Comparison
from striate.results.audit.corruption_error import CorruptionError, MeanCorruptionError
from striate.results.audit.gate import Gate, gate_row
from striate.results.audit.progress import AuditProgress
from striate.results.audit.report import AuditReport

__all__ = [
    "AuditProgress",
    "AuditReport",
    "Comparison",
    "CorruptionError",
    "Gate",
    "MeanCorruptionError",
    "gate_row",
]
