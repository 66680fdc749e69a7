"""The settings of a server: flags, then the environment (STRIATE_*), then a TOML file."""

from service.config.model_table import ModelTable
from service.config.settings import EMBEDDED, HOSTED_NAME, Settings
from service.config.sources import load_settings

__all__ = ["EMBEDDED", "HOSTED_NAME", "ModelTable", "Settings", "load_settings"]
