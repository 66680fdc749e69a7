"""The calls behind the handles: functions that a service or a model offers as methods."""
