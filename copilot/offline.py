"""Settings of this process, made before the libraries they are for: no calling out, no spinning threads."""

from __future__ import annotations

import os

# Each value was chosen for what the library's source compares with (gradio: anything but "True" is off).
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",  # threads that spin while waiting cost a busy machine most of its rate
}


def go_offline() -> None:
    """Sets the environment of this process; a user's own tracing settings do not survive it."""
    os.environ.update(SETTINGS)
