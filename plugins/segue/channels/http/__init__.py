"""What channels over HTTP share, and ``http_request``, which calls any API."""
