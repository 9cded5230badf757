"""From a source to conversations, one small file a builder; `BUILDERS` names them as recipes do."""

from __future__ import annotations

from collections.abc import Mapping

from ..material import Builder
from .ancillary import tests
from .case_text import case_text
from .choice import choice
from .context import context
from .describe import describe
from .dialogue import dialogue
from .guard import guard
from .knowledge import knowledge
from .question import question
from .report import fields, report, summary
from .scope import scope
from .several import several
from .verdict import verdict

BUILDERS: Mapping[str, Builder] = {
    "describe": describe,
    "question": question,
    "dialogue": dialogue,
    "several": several,
    "choice": choice,
    "verdict": verdict,
    "context": context,
    "tests": tests,
    "report": report,
    "fields": fields,
    "summary": summary,
    "case_text": case_text,
    "knowledge": knowledge,
    "guard": guard,
    "scope": scope,
}
