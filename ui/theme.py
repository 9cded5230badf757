"""Colours and type of the desk: one accent, the system's own fonts, light and dark."""

from __future__ import annotations

from typing import Any

import gradio as gr

ACCENT, ACCENT_DARK = "#0b6e7d", "#5cc3d3"
"""A blue-green, which no usual stain has."""

_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def desk_theme() -> Any:
    """Gradio's plain theme with our accent; the stylesheets use its variables, so that both follow light and dark."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.cyan, neutral_hue=gr.themes.colors.slate, font=_FONT, font_mono=_MONO
    )
    return theme.set(
        body_background_fill="#f6f7f8",
        body_background_fill_dark="#15181b",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1c2024",
        background_fill_secondary="#f0f2f4",
        background_fill_secondary_dark="#24292e",
        body_text_color="#1b2126",
        body_text_color_dark="#e4e8eb",
        body_text_color_subdued="#56616b",
        body_text_color_subdued_dark="#9aa5ae",
        border_color_primary="#d5dadf",
        border_color_primary_dark="#363d44",
        border_color_accent=ACCENT,
        border_color_accent_dark=ACCENT_DARK,
        color_accent=ACCENT,
        button_primary_background_fill=ACCENT,
        button_primary_background_fill_dark=ACCENT_DARK,
        button_primary_background_fill_hover="#095a67",
        button_primary_background_fill_hover_dark="#7fd3e0",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0c1418",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1c2024",
        input_border_color="#c3cad1",
        input_border_color_dark="#414a52",
        input_border_color_focus=ACCENT,
        input_border_color_focus_dark=ACCENT_DARK,
    )
