"""The settings of a server: flags, then the environment (STRIATE_*), then a TOML file."""

from service.config.model_table import ModelTable
from service.config.settings import EMBEDDED, Settings
from service.config.sources import load_settings

__all__ = ["EMBEDDED", "ModelTable", "Settings", "load_settings"]
