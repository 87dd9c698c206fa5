"""What makes an action fit, or not, to be one message about all contacts of a run."""

from __future__ import annotations

from collections.abc import Iterator

from segue.contracts.channel import Audience, Channel
from segue.contracts.templates import OF_ONE_CONTACT
from segue.documents import Location
from segue.workflows.definition import Action


def digest_problems(action: Action, channel: Channel) -> Iterator[tuple[Location, str]]:
    """Yield (location below the action, message) for what a digest must not, or only it may."""
    if action.digest:
        for location, message in _misuses(action, channel):
            yield (action.channel, *location), message
    for location, template in channel.templates():
        place = (action.channel, *location)
        names = template.reads()
        if action.digest:
            for name in sorted(names & set(OF_ONE_CONTACT)):
                message = (
                    f"a digest is about many contacts, so there is no {name!r}; allowed: "
                    "{% for contact in digest.contacts %} … {% endfor %}, and there contact, "
                    "contact.change and contact.results"
                )
                yield place, message
        elif "digest" in names:
            yield place, "'digest' is there with `digest: true` beside the action's id alone"


def _misuses(action: Action, channel: Channel) -> Iterator[tuple[Location, str]]:
    """Yield for what a channel is used that a digest cannot be."""
    if channel.addressed_to is Audience.CONTACT:
        message = (
            "a digest shows contacts to whoever reads it, so it goes to the team alone; allowed: "
            "addresses written out, or `audience: team`"
        )
        yield (), message
    if channel.about_one:
        yield (), f"a digest is about many contacts, and {action.channel!r} is about one"
    if channel.looks_back:
        message = (
            "a digest is about many contacts, so none of their open tickets is looked for; "
            "allowed: `create`, or `on_existing` left out"
        )
        yield ("on_existing",), message
