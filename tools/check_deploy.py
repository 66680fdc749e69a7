"""Checks deploy/ as far as parsers go, with the packages of requirements/deploy.txt:
`.deploy-venv/bin/python -m tools.check_deploy`.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import yaml
from google.protobuf import json_format

from tools import dashboard

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = "1.37"
SEVERITIES = {"warning", "critical"}
RULE_KEYS = {"alert", "expr", "for", "labels", "annotations"}
_DURATION = re.compile(r"(\d+(ms|s|m|h|d))+")
# Where the types of Envoy's `typed_config` are declared.
ENVOY_TYPES = (
    "extensions.filters.network.http_connection_manager.v3.http_connection_manager",
    "extensions.filters.http.cors.v3.cors",
    "extensions.filters.http.grpc_json_transcoder.v3.transcoder",
    "extensions.filters.http.grpc_web.v3.grpc_web",
    "extensions.filters.http.router.v3.router",
    "extensions.resource_monitors.downstream_connections.v3.downstream_connections",
    "extensions.transport_sockets.tls.v3.tls",
    "extensions.upstreams.http.v3.http_protocol_options",
)


def kubernetes() -> Iterator[str]:
    """What is wrong with the manifests of each overlay."""
    found = shutil.which("kubectl")
    kubectl = Path(found) if found else Path(sys.executable).with_name("kubectl")
    overlays = sorted((DEPLOY / "kubernetes" / "overlays").iterdir())
    for overlay in overlays:
        rendered = subprocess.run(
            [kubectl, "kustomize", overlay], capture_output=True, text=True, check=False
        )
        if rendered.returncode:
            yield f"{overlay}: {rendered.stderr.strip()}"
            continue
        for resource in yaml.safe_load_all(rendered.stdout):
            name = f"{overlay.name}: {resource['kind']} {resource['metadata']['name']}"
            try:
                kubernetes_validate.validate(resource, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}: {error.message}"
            yield from (f"{name}: {wrong}" for wrong in _unselective(resource))


def _unselective(resource: Any) -> Iterator[str]:
    """An empty selector is valid, and means every pod of the namespace."""
    for key in ("selector", "podSelector"):
        if resource["spec"].get(key) == {} if "spec" in resource else False:
            yield f"its {key} chooses every pod of the namespace"


def alerts() -> Iterator[str]:
    """What is wrong with the rules."""
    path = DEPLOY / "prometheus" / "alerts.yml"
    runbook = (ROOT / "docs" / "guides" / "operating.md").read_text(encoding="utf-8")
    seen = set[str]()
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            name = rule.get("alert", "?")
            if name in seen:
                yield f"{name} is there twice"
            seen.add(name)
            if unknown := set(rule) - RULE_KEYS:
                yield f"{name}: {sorted(unknown)} are no keys of a rule"
            if "for" in rule and not _DURATION.fullmatch(str(rule["for"])):
                yield f"{name}: for: {rule['for']} is no duration"
            if rule["labels"].get("severity") not in SEVERITIES:
                yield f"{name}: severity must be one of {sorted(SEVERITIES)}"
            if set(rule["annotations"]) != {"summary", "description"}:
                yield f"{name}: needs a summary and a description"
            if f"`{name}`" not in runbook:
                yield f"{name}: docs/guides/operating.md does not say what to do"
            yield from _expression(name, rule["expr"])
    yield from _rule_tests()


def _rule_tests() -> Iterator[str]:
    """What Prometheus' own tool says, where it is: no package of Python's brings it."""
    if promtool := shutil.which("promtool"):
        tests = DEPLOY / "prometheus" / "alerts_test.yml"
        told = subprocess.run(
            [promtool, "test", "rules", tests], capture_output=True, text=True, check=False
        )
        if told.returncode:
            yield told.stdout + told.stderr


def grafana() -> Iterator[str]:
    """What is wrong with the dashboard."""
    text = dashboard.PATH.read_text(encoding="utf-8")
    if text != dashboard.page():
        yield "the dashboard is not that of tools/dashboard.py: python -m tools.dashboard"
    for panel in json.loads(text)["panels"]:
        for target in panel.get("targets", ()):
            yield from _expression(panel["title"], target["expr"].replace("$instance", ".*"))


def _expression(where: str, text: str) -> Iterator[str]:
    try:
        promql_parser.parse(text)
    except ValueError as error:
        yield f"{where}: {text}: {error}"


def envoy() -> Iterator[str]:
    """What is wrong with Envoy's configuration, read into Envoy's own messages."""
    for module in ENVOY_TYPES:
        importlib.import_module(f"envoy.{module}_pb2")
    bootstrap = importlib.import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap()
    given = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8"))
    try:
        json_format.ParseDict(given, bootstrap)
    except json_format.ParseError as error:
        yield str(error)
        return
    clusters = {cluster.name for cluster in bootstrap.static_resources.clusters}
    for name in re.findall(r'"cluster": "([^"]+)"', json.dumps(given)):
        if name not in clusters:
            yield f"there is no cluster {name}"


def main() -> int:
    """Run all checks.

    Returns:
        0, or 1 where something is wrong, which is printed.
    """
    wrong = [
        f"{check.__name__}: {text}"
        for check in (kubernetes, alerts, grafana, envoy)
        for text in check()
    ]
    print("\n".join(wrong) or "deploy/ is as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
