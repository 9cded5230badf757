"""The report as the rest of the house knows it; it is made in `copilot.reporting`."""

from __future__ import annotations

from .reporting.document import EDITED, GIVEN, KNOWLEDGE, Report, ReportLine, Section
from .reporting.draft import draft_report
from .reporting.export import check_target
from .reporting.layout import DRAFT

__all__ = ["DRAFT", "EDITED", "GIVEN", "KNOWLEDGE", "Report", "ReportLine", "Section", "check_target", "draft_report"]
