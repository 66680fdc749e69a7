"""What is found, for readers: an audit as one HTML page, as JSON with a published schema and as
JUnit XML, and a unit's dossier as one HTML page.

Pure functions of what was found, without a clock or the name of a machine: the same facts give the
same bytes.
"""

from service.report.audit_html import Example, audit_page
from service.report.audit_json import json_text, schema
from service.report.dossier_html import dossier_page
from service.report.junit import junit
from service.report.perturbation import magnified
from service.report.wording import condition

__all__ = [
    "Example",
    "audit_page",
    "condition",
    "dossier_page",
    "json_text",
    "junit",
    "magnified",
    "schema",
]
