"""Settings of this process, made before the libraries they are for: no calling out, no spinning, no hoarding."""

from __future__ import annotations

import ctypes
import os
import sys

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
    "OTEL_SDK_DISABLED": "true",
    "FASTAPI_OTEL_AUTO_CONFIGURE": "false",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",  # threads that spin while waiting cost a busy machine most of its rate
}
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
RETURNED_FROM_BYTES = 1 << 20


def prepare_process() -> None:
    """Sets the environment of this process; a user's own tracing settings do not survive it."""
    os.environ.update(SETTINGS)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # glibc raises this limit as it goes and then keeps freed arrays: 85 MB more on a large slide
        libc.mallopt(M_MMAP_THRESHOLD, RETURNED_FROM_BYTES)


def keep_freed_memory() -> None:
    """For training, where every step frees and takes the same gigabytes: a third less time a step."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
