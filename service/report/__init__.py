"""The reports of a robustness audit: one HTML page, JSON with a published schema, JUnit.

Pure functions of the audit's result, without a clock or the name of a machine: the same result
gives the same bytes.
"""

from service.report.html import Example, page
from service.report.json_report import json_text, schema
from service.report.junit import junit
from service.report.perturbation import magnified
from service.report.wording import condition

__all__ = ["Example", "condition", "json_text", "junit", "magnified", "page", "schema"]
