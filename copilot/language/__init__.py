"""Local language models behind one small interface."""

from .load import load_language
from .model import LanguageModel, Message

__all__ = ["LanguageModel", "Message", "load_language"]
