"""The pages: a module each, with its routes."""

from __future__ import annotations

from starlette.routing import BaseRoute

from striate_web.pages import (
    audit_report,
    audits,
    home,
    lab,
    lab_attack,
    lab_attribution,
    networks,
    pictures,
    running,
    sign_in,
    stream,
    unit_facets,
    unit_role,
    unit_tuning,
)

# `networks` answers whatever is left: /NETWORK, /NETWORK/LAYER and /NETWORK/LAYER/UNIT
ROUTES: list[BaseRoute] = [
    *audit_report.ROUTES,
    *audits.ROUTES,
    *home.ROUTES,
    *lab.ROUTES,
    *lab_attack.ROUTES,
    *lab_attribution.ROUTES,
    *pictures.ROUTES,
    *running.ROUTES,
    *sign_in.ROUTES,
    *stream.ROUTES,
    *unit_facets.ROUTES,
    *unit_role.ROUTES,
    *unit_tuning.ROUTES,
    *networks.ROUTES,
]
