"""The pages in Airflow's UI, and the JSON API beside them.

``app.py`` builds the FastAPI application, once, in the API server (``segue.plugin``).
How a page is added:

1. A router in a module of its own, ``segue/web/<page>.py``, with ``router = APIRouter()``; add it
   to ``ROUTERS`` in ``app.py``. Every route of the app answers 401 without a login by itself.
2. Who may see what: take ``ThisVisit`` (``visits.py``) as an argument, which has the ``viewer``
   (``access.py``). ``ReadableWorkflow`` is a path or query parameter ``workflow`` that answers 403
   to whoever may not read the DAG; ``viewer.readable(names)`` keeps those that may be listed;
   whatever shows a contact's fields or a message's text takes ``ContactsWorkflow``, or asks
   ``viewer.may_see_contacts(name)``. What a vendor answered goes through ``shown``
   (``answers.py``). A 404 comes after both.
3. Data: the visit has the ``ledger``, which is asked through a function of ``segue/ledger/`` that
   counts, filters and pages in SQL, and the definitions, its ``catalog``. Errors of ours
   (``SegueError``) need no handling: they become a page (``errors.py``). Parameters have bounds
   (``parameters.py``): ``test_hostile_addresses.py`` tries each of every route. A list in pages
   takes a ``visit.part``.
4. A template, ``templates/<page>.html``, extends ``base.html``; return
   ``visit.page("<page>.html", …)``, which escapes everything. Filters:
   ``|time`` for instants, ``|number``, ``|state`` for outcomes, ``|in_words`` for reasons. There is
   no inline script and no inline style: the Content-Security-Policy refuses both (the page that
   asks for a login has its own, by their digests). Behaviour stands in
   ``static/segue.js``, looks in ``static/segue.css``; links are made with ``url("route_name", …)``.
5. What changes something is a POST whose form contains ``{{ csrf_field() }}`` and whose route
   takes ``SafeForm`` (``forms.py``), confirmed in a ``<dialog>`` (``data-confirms``). A request
   brings back what its page showed (``AsSeen``).
6. A test in ``tests/ui``; ``test_access.py`` finds new routes by itself.
7. A row in ``docs/airflow-ui.md``; where the page is to stand in Segue's own navigation, a row of
   ``NAVIGATION`` in ``pages.py``, with how the paths of the pages below it begin.

The frame in which Airflow shows a page allows scripts, forms and downloads, but neither pop-ups nor
``window.confirm``: a link out of the frame is marked ``data-opens`` and opened by ``segue.js`` in
the page around it.
"""
