"""The state folder: whose it is, how much room it has, what of it is damaged, and its upkeep."""

from service.state.digests import DataLost, Verified
from service.state.folder import StateFolder
from service.state.lock import StateInUse, StateUnusable
from service.state.quarantine import Quarantine
from service.state.served_time import ServedTime
from service.state.space import DiskSpace, StorageFull, StorageReadOnly, storage_error

__all__ = [
    "DataLost",
    "DiskSpace",
    "Quarantine",
    "ServedTime",
    "StateFolder",
    "StateInUse",
    "StateUnusable",
    "StorageFull",
    "StorageReadOnly",
    "Verified",
    "storage_error",
]
