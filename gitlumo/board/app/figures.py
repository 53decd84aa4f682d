"""bokeh's figures in the looks of the page."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure

from gitlumo.board import looks


def new_figure(dark: bool, **more: Any) -> Any:
    """An empty figure; ``more`` is what bokeh takes."""
    shades = looks.shades(dark)
    made = figure(
        sizing_mode="stretch_width",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **more,
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.title.text_color, made.title.text_font_size, made.title.text_font_style = shades["text"], "12px", "normal"
    for axis in made.axis:
        axis.axis_line_color = axis.major_tick_line_color = shades["line"]
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = shades["quiet"]
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_font_size = "11px"
    for grid in made.grid:
        grid.grid_line_color, grid.grid_line_alpha = shades["line"], 0.6
    return made
