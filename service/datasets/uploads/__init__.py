"""Data sets that callers send, kept as parquet files."""

from service.datasets.uploads.content import damage, is_name
from service.datasets.uploads.sending import GROUP_ROWS, Upload, UploadTooLarge
from service.datasets.uploads.store import UPLOADED, DatasetBusy, Uploads

__all__ = [
    "GROUP_ROWS",
    "UPLOADED",
    "DatasetBusy",
    "Upload",
    "UploadTooLarge",
    "Uploads",
    "damage",
    "is_name",
]
