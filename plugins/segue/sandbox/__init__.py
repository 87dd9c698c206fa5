"""Loopback look-alikes of the services Segue sends to, so that demos and tests send for real.

Nothing here is reached by Segue's own code paths: a workflow talks to the sandbox because its
Airflow connections point at it. The look-alikes follow the vendors' public documentation, not
what Segue's channels happen to send, so that a wrong request is refused here as it would be there.

``vendors`` has one module for each vendor. ``server`` puts all of them on one HTTP port, and
``smtp_server`` on another; ``store`` has what was received, ``faults`` the answers that go wrong on
purpose, ``vendor_api`` and ``wire`` the parts of HTTP that all look-alikes share, ``inbox`` the
pages that show it.
"""
