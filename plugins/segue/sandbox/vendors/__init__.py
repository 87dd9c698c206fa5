"""The look-alikes, one module for each vendor; ``http_api`` is of nobody in particular."""
