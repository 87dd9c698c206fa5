"""Who is in the sample: contacts with the gaps and oddities of a real directory."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pandas as pd

from segue.sample.names import CULTURES, HOSTILE, Culture

ALPHABET = np.array(list(string.digits + string.ascii_letters))
DOMAINS = ("example.com", "example.org", "example.net")  # RFC 2606
LIFECYCLES, LIFECYCLE_SHARES = ("customer", "lead", "former"), (0.62, 0.28, 0.10)
TIERS, TIER_SHARES = ("bronze", "silver", "gold"), (0.35, 0.45, 0.20)
WITHOUT_EMAIL, WITHOUT_PHONE, WITHOUT_FIRST_NAME = 0.06, 0.08, 0.04
UNSUBSCRIBED = 0.07
NEWSLETTERS = ("Newsletter", "Product news", "Events")

# Number ranges that the regulators of these countries reserve for drama and fiction.
FICTION_RANGES: tuple[tuple[str, int], ...] = (
    ("+447700900", 3),
    ("+442079460", 3),
    ("+441134960", 3),
    ("+3319900", 4),
    ("+3363998", 4),
    ("+6125550", 4),
    ("+6175550", 4),
    ("+121255501", 2),
    ("+141555501", 2),
)


def new_contacts(rng: np.random.Generator, size: int, first_number: int) -> pd.DataFrame:
    """Return that many made-up contacts, one row each, indexed by contact id.

    Numbers run on from `first_number`; they keep addresses and references unique.
    """
    weights = np.array([culture.weight for culture in CULTURES])
    cultures = rng.choice(len(CULTURES), size, p=weights / weights.sum())
    people = [_person(rng, CULTURES[c], first_number + n) for n, c in enumerate(cultures)]
    ids = ["CID_" + "".join(letters) for letters in rng.choice(ALPHABET, (size, 15))]
    frame = pd.DataFrame(people, index=pd.Index(ids, name="contact_id"))
    return frame.assign(
        email=frame["email"].mask(rng.random(size) < WITHOUT_EMAIL),
        phone=frame["phone"].mask(rng.random(size) < WITHOUT_PHONE),
        first_name=frame["first_name"].mask(rng.random(size) < WITHOUT_FIRST_NAME),
        lifecycle=rng.choice(LIFECYCLES, size, p=LIFECYCLE_SHARES),
        tier=rng.choice(TIERS, size, p=TIER_SHARES),
        unsubscribed=rng.random(size) < UNSUBSCRIBED,
    )


def with_hostile_names(contacts: pd.DataFrame) -> pd.DataFrame:
    """Give the first contacts the hostile names, and everything else a story needs."""
    people = contacts.copy()
    first = contacts.index[: len(HOSTILE)]
    names = HOSTILE[: len(first)]
    people.loc[first, "first_name"] = [name for name, _ in names]
    people.loc[first, "last_name"] = [name for _, name in names]
    people.loc[first, "email"] = [f"hostile.{n}@example.com" for n in range(len(first))]
    people.loc[first, "phone"] = [f"+4477009009{n:02d}" for n in range(len(first))]
    people.loc[first, ["lifecycle", "tier"]] = ["customer", "gold"]
    people.loc[first, "unsubscribed"] = False
    return people


def list_memberships(rng: np.random.Generator, contact_ids: pd.Index[str]) -> pd.DataFrame:
    """Return one row per contact and mailing list it is on; most contacts are on one or none."""
    on_list = rng.random((len(contact_ids), len(NEWSLETTERS))) < (0.5, 0.15, 0.05)
    who, which = np.nonzero(on_list)
    return pd.DataFrame(
        {
            "contact_id": contact_ids.to_numpy()[who],
            "mailing_list": np.array(NEWSLETTERS)[which],
            "opted_in": rng.random(len(who)) < 0.9,
        }
    )


def _person(rng: np.random.Generator, culture: Culture, number: int) -> dict[str, Any]:
    first_name, given_latin = culture.given[rng.integers(len(culture.given))]
    family, family_latin = culture.family[rng.integers(len(culture.family))]
    return {
        "first_name": first_name,
        "last_name": family,
        "email": f"{given_latin}.{family_latin}.{number}@{DOMAINS[rng.integers(3)]}",
        "phone": _phone(rng),
        "language": culture.language,
        "external_reference": f"{number:06d}",
        "city": culture.cities[rng.integers(len(culture.cities))],
        "country": culture.country,
        "birthday": _birthday(rng),
    }


def _phone(rng: np.random.Generator) -> str:
    prefix, digits = FICTION_RANGES[rng.integers(len(FICTION_RANGES))]
    return f"{prefix}{rng.integers(10**digits):0{digits}d}"


def _birthday(rng: np.random.Generator) -> str | None:
    """Return a date, or nothing for the third who never told."""
    day = np.datetime64("1944-01-01") + np.timedelta64(int(rng.integers(22_000)), "D")
    return str(day) if rng.random() < 0.67 else None
