"""The reports of a robustness audit: one HTML page, JSON with a published schema, JUnit.

Pure functions of the audit's result, without a clock or the name of a machine: the same result gives the same bytes.
"""

from service.report.document import json_text, schema
from service.report.html import Example, page
from service.report.magnify import magnified
from service.report.suites import junit
from service.report.words import condition

__all__ = ["Example", "condition", "json_text", "junit", "magnified", "page", "schema"]
