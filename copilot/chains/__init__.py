"""LangChain and LangGraph around the copilot's language models; agents need `pip install "pathcopilot[chains]"`."""

from .. import langchain  # noqa: F401 - first of all, since it turns tracing off before langsmith reads its settings
