"""Writes deploy/grafana/striate.json, the dashboard, from the table of its panels:
`python -m tools.dashboard`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "deploy" / "grafana" / "striate.json"
WIDTH, HEIGHT = 8, 8  # of a panel, on a grid that is 24 wide
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_SELECTOR = 'instance=~"$instance"'


@dataclass(frozen=True)
class Panel:
    """A curve or several over time.

    Attributes:
        title: what is seen, in words.
        unit: as Grafana calls it, e.g. "s" or "reqps".
        curves: PromQL by legend; {} stands for the choice of servers.
        stacked: whether the curves are parts of a whole.
    """

    title: str
    unit: str
    curves: tuple[tuple[str, str], ...]
    stacked: bool = False


def _quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """The median and the 99th percentile of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        (
            f"p{round(100 * share)}{legend}",
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{}}[5m])))",
        )
        for share in (0.5, 0.99)
    )


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is it well?",
        (
            Panel("Ready", "none", (("{{instance}}", "striate_ready{}"),)),
            Panel(
                "Errors of the service's own",
                "reqps",
                (
                    (
                        "{{code}}",
                        "sum by (code) (rate(striate_requests_total"
                        '{code=~"INTERNAL|UNKNOWN|DATA_LOSS",}[5m]))',
                    ),
                ),
            ),
            Panel(
                "Refusals, by the reason that callers are told",
                "reqps",
                (("{{reason}}", "sum by (reason) (rate(striate_refusals_total{}[5m]))"),),
            ),
        ),
    ),
    (
        "Who asks for what",
        (
            Panel(
                "Requests by method",
                "reqps",
                (("{{method}}", "sum by (method) (rate(striate_requests_total{}[5m]))"),),
                stacked=True,
            ),
            Panel(
                "Requests by caller",
                "reqps",
                (
                    (
                        "{{identity}}",
                        "sum by (identity) (rate(striate_requests_by_identity_total{}[5m]))",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Image gradients by model",
                "ops",
                (("{{model}}", "sum by (model) (rate(striate_image_gradients_total{}[5m]))"),),
                stacked=True,
            ),
        ),
    ),
    (
        "How long it takes",
        (
            Panel("Time to answer, p99", "s", _quantiles("striate_request_seconds", "method")[1:]),
            Panel("Time to admission", "s", _quantiles("striate_queue_wait_seconds")),
            Panel(
                "Lateness of the event loop",
                "s",
                (
                    *_quantiles("striate_loop_lag_seconds")[1:],
                    ("the most", "max(striate_loop_lag_highest_seconds{})"),
                ),
            ),
        ),
    ),
    (
        "What waits",
        (
            Panel(
                "Jobs that wait and run",
                "short",
                (
                    ("waiting, {{priority}}", "sum by (priority) (striate_queue_depth{})"),
                    ("running", "sum(striate_running_jobs{})"),
                    ("calls in flight", "sum(striate_calls_in_flight{})"),
                ),
            ),
            Panel(
                "Oldest wait",
                "s",
                (
                    (
                        "for the device, {{priority}}",
                        "max by (priority) (striate_queue_oldest_wait_seconds{})",
                    ),
                    ("for decoding", "max(striate_decode_oldest_wait_seconds{})"),
                ),
            ),
            Panel(
                "Decoding",
                "short",
                (
                    ("steps that wait", "sum(striate_decode_waiting{})"),
                    ("pixels at hand", "sum(striate_decode_pixels{})"),
                    ("refused a second", "sum(rate(striate_decode_refused_total{}[5m]))"),
                ),
            ),
        ),
    ),
    (
        "The device",
        (
            Panel(
                "Busy share",
                "percentunit",
                (("{{instance}}", "rate(striate_device_busy_seconds_total{}[1m])"),),
            ),
            Panel(
                "Passes: rows and time",
                "short",
                (
                    *_quantiles("striate_tick_rows"),
                    *(
                        (f"{legend}, seconds", curve)
                        for legend, curve in _quantiles("striate_tick_seconds")
                    ),
                    ("age of the present one", "max(striate_device_pass_age_seconds{})"),
                ),
            ),
            Panel(
                "Jobs that left, by why",
                "ops",
                (
                    ("{{reason}}", "sum by (reason) (rate(striate_jobs_total{}[5m]))"),
                    ("out of memory", "sum(rate(striate_out_of_memory_total{}[5m]))"),
                    ("queue full", "sum(rate(striate_refused_total{}[5m]))"),
                ),
            ),
        ),
    ),
    (
        "Memory and disk",
        (
            Panel(
                "Memory",
                "bytes",
                (
                    ("process {{instance}}", 'process_resident_memory_bytes{job="striate",}'),
                    ("device, {{kind}}", "sum by (kind) (striate_device_memory_bytes{})"),
                ),
            ),
            Panel(
                "Models",
                "bytes",
                (("{{model}}", "max by (model) (striate_model_bytes{})"),),
                stacked=True,
            ),
            Panel(
                "Disk of the state",
                "bytes",
                (
                    ("free {{instance}}", "striate_disk_free_bytes{}"),
                    ("floor", "max(striate_disk_floor_bytes{})"),
                    ("{{kind}}", "sum by (kind) (striate_state_bytes{})"),
                ),
            ),
        ),
    ),
    (
        "Operations, and what is wrong",
        (
            Panel(
                "Operations",
                "short",
                (
                    ("{{state}}", "sum by (state) (striate_operations{})"),
                    (
                        "ended: {{outcome}}",
                        "sum by (outcome) (increase(striate_operations_ended_total{}[1h]))",
                    ),
                ),
            ),
            Panel(
                "Keys that were not accepted",
                "reqps",
                (("{{reason}}", "sum by (reason) (rate(striate_auth_failures_total{}[5m]))"),),
            ),
            Panel(
                "Damage and losses",
                "short",
                (
                    ("damaged: {{kind}}", "sum by (kind) (increase(striate_damaged_total{}[1h]))"),
                    (
                        "lines of the access log lost",
                        "sum(increase(striate_access_log_lost_total{}[1h]))",
                    ),
                    ("models that serve", "sum(striate_models{})"),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Build the dashboard.

    Returns:
        What Grafana imports.
    """
    panels, top = list[dict[str, Any]](), 0
    for title, row in ROWS:
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"type": "row", "title": title, "gridPos": place, "panels": []})
        for column, panel in enumerate(row):
            place = {"x": WIDTH * column, "y": top + 1, "w": WIDTH, "h": HEIGHT}
            panels.append(_panel(panel, place))
        top += 1 + HEIGHT
    for number, one in enumerate(panels, 1):
        one["id"] = number
    return {
        "title": "Striate",
        "uid": "striate",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "tags": ["striate"],
        "templating": {"list": [_source(), _instance()]},
        "panels": panels,
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    custom = {"fillOpacity": 30, "stacking": {"mode": "normal"}} if panel.stacked else {}
    return {
        "type": "timeseries",
        "title": panel.title,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": _chosen(curve), "legendFormat": legend}
            for number, (legend, curve) in enumerate(panel.curves)
        ],
    }


def _chosen(curve: str) -> str:
    """The expression, for the servers that are chosen."""
    return curve.replace(",}", "," + _SELECTOR + "}").replace("{}", "{" + _SELECTOR + "}")


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _instance() -> dict[str, Any]:
    query = "label_values(striate_ready, instance)"
    return {
        "name": "instance",
        "label": "Server",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "instances"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def page() -> str:
    """The dashboard's file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
