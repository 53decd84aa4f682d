"""The part of the board that needs panel and bokeh, and takes a second to import."""
