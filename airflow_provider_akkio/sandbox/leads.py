"""A generated table of sales leads with the fields of the example on Akkio's Training page."""

from __future__ import annotations

import math
from random import Random

LEADS_FIELDS = (
    "Job Title",
    "Years of Experience",
    "Company Size",
    "Industry",
    "Location",
    "Webinars Attended",
    "Whitepapers Downloaded",
    "Pages Visited",
    "Days Since Last Visit",
    "Email Open Rate",
    "Email Click Rate",
    "Responded to Survey",
    "Positive Lead",
)

_JOB_TITLES = {"Assistant": -1.0, "Analyst": -0.4, "Engineer": 0.0, "Manager": 0.6, "Director": 1.1, "Executive": 1.4}
_COMPANY_SIZES = ("1-10", "11-50", "51-200", "201-1000", "1000+", "")
_INDUSTRIES = ("Education", "Finance", "Health", "Manufacturing", "Retail", "Software")
_LOCATIONS = ("Asia", "Europe", "North America", "South America")


def generate_leads(count: int = 2000, seed: int = 13) -> tuple[tuple[str, ...], ...]:
    """Return made-up leads, the same ones for the same arguments; about one in eight is positive.

    :param count: how many; default 2000.
    :param seed: where the random numbers begin; default 13.
    """
    # The standard library promises the same sequence in every version; NumPy's generators do not.
    random = Random(seed)  # noqa: S311 - data to learn from, no secret
    return tuple(_generate_lead(random) for _ in range(count))


def _generate_lead(random: Random) -> tuple[str, ...]:
    title = random.choice(list(_JOB_TITLES))
    years = random.randint(0, 30)
    webinars, papers, pages = random.randint(0, 6), random.randint(0, 8), random.randint(1, 40)
    days = random.randint(0, 90)
    opened = random.random()
    clicked = opened * random.random()
    answered = random.random() < 0.15 + 0.3 * opened
    interest = _JOB_TITLES[title] + 0.7 * (webinars - 3) + 0.4 * (papers - 4) + 0.06 * (pages - 20)
    interest += 3 * clicked + 0.8 * answered - 0.03 * days - 3.0 + random.gauss(0, 0.6)
    positive = random.random() < 1 / (1 + math.exp(-1.5 * interest))
    company = random.choices(_COMPANY_SIZES, weights=(5, 5, 4, 3, 2, 1))[0]
    cells = (title, years, company, random.choice(_INDUSTRIES), random.choice(_LOCATIONS), webinars, papers, pages)
    return tuple(map(str, (*cells, days, round(opened, 2), round(clicked, 2), int(answered), int(positive))))
