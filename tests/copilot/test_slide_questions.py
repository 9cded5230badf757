"""Questions about whole slides: what is said first, what may be said of a slide, and that memory changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from copilot import Copilot
from copilot.answer import Answer, Checked, Done, Event, Looking, Question, Saying, Turn, View
from copilot.check import Ground, check_sentence
from copilot.plan import plan
from copilot.say import Material, compose
from copilot.slide_words import of_slides, place, places
from copilot.statements import Seen
from slides import Evidence, Finding, Region
from slides.open import open_slide
from tests.vision_encoder.fakes import ColourEncoder, FixedAtlas, FixedHeads, FixedReading
from tests.vision_encoder.made_slides import write_slide
from vision_encoder.look import Eye

from .grounds import FULL, classified, grounded, observed
from .scripted_model import ScriptedModel

WHOLE = Region(0, 0, 30000, 20000)
ASKED = "Is there tumour, where, what is it, what else?"


def item(finding: Finding, region: Region = WHOLE, mpp: float | None = 0.5, *fields: Region) -> Evidence:
    return Evidence("a.svs", region, mpp, finding, fields)


def at(x: int, y: int) -> Region:
    return Region(x, y, 256, 256)


CENTRE = at(15000, 9000)
SLIDE = (
    item(Finding("tissue_pieces", value=2.0), WHOLE, 8.0),
    item(Finding("low_power", value=1.0), WHOLE, 8.0),
    item(Finding("odd_area", label="redder", value=0.021, unit="share"), Region(200, 300, 2000, 2000), 8.0),
    item(Finding("suspicious_fields", value=0.41, unit="share"), WHOLE, 0.5, *map(at, range(5), range(5)), CENTRE),
    item(Finding("closer_look", label="malignant", probability=0.63, value=2.0), WHOLE, 0.25, at(0, 0), at(900, 0)),
)  # fmt: skip
GROUND = Ground(SLIDE, (), Question(ASKED), ())
SAID = (
    "At low power the slide holds 2 pieces of tissue; 1 area stands out by colour: redder at the upper left (2 % of "
    "the tissue).",
    "Read one by one, 41 % of the fields seen look most like a malignant or pre-malignant process, most of them at the "
    "upper left.",
    "Read again at 0.25 µm/px, 2 fields look most like a malignant process (0.63).",
)


@pytest.mark.parametrize("sentence", SAID)
def test_what_is_made_from_the_findings_stands(sentence: str) -> None:
    claim = check_sentence(sentence, GROUND)
    assert claim.status == "supported"
    assert claim.evidence
    assert set(claim.evidence) == set(dict(of_slides(SLIDE))[sentence])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 pieces", "3 pieces"), ("redder", "darker"), ("upper left", "upper right"), ("2 %", "20 %"),
        ("41 %", "14 %"), ("0.63", "0.93"), ("0.25", "0.50"), ("2 fields", "12 fields"),
        ("malignant or pre-malignant", "malignant"),
        ("a malignant process", "normal tissue"), ("1 area stands", "4 areas stand"),
    ],
)  # fmt: skip
def test_a_changed_word_of_it_is_struck(old: str, new: str) -> None:
    changed = [sentence.replace(old, new) for sentence in SAID if old in sentence]
    assert changed
    for sentence in changed:
        assert check_sentence(sentence, GROUND).status == "struck", sentence


@pytest.mark.parametrize("sentence", SAID)
def test_without_such_findings_nothing_of_the_kind_stands(sentence: str) -> None:
    assert check_sentence(sentence, FULL).status == "struck"


@pytest.mark.parametrize(
    "text", ["The picture is malignant.", "The process is consistent with a malignant process (0.63).", "It is redder."]
)
def test_such_findings_bear_out_no_other_sentence(text: str) -> None:
    assert check_sentence(text, GROUND).status == "struck"


def test_the_share_of_the_tissue_seen_is_held_to_its_finding() -> None:
    seen = observed(Finding("seen_share", value=0.47, unit="share"), Finding("tissue_share", value=0.62, unit="share"))
    for text, status in {
        "12 of 240 tissue fields were looked at, 47 % of the tissue, at 0.50 µm/px.": "supported",
        "This rests on 12 of 240 tissue fields, 47 % of the tissue.": "supported",
        "This rests on 12 of 240 tissue fields, 74 % of the tissue.": "struck",
        "This rests on 12 of 240 tissue fields, 62 % of the tissue.": "struck",
    }.items():
        assert check_sentence(text, grounded(seen)).status == status, text


def test_places_are_ninths_of_the_slide() -> None:
    assert place(at(0, 0), WHOLE) == "at the upper left"
    assert place(at(15000, 10000), WHOLE) == "in the centre"
    assert place(at(29700, 19700), WHOLE) == "at the lower right"
    spread = [at(x, y) for x in range(0, 30000, 6000) for y in range(0, 20000, 4000)]
    assert places(spread, WHOLE) == "spread over the slide"
    assert places([at(0, 0), at(500, 500)], WHOLE) == "at the upper left"


@pytest.mark.parametrize(
    ("text", "intents", "not_these"),
    [
        (ASKED, ("category", "where"), ("organ",)),
        ("Where is the tumour?", ("where", "category"), ("organ",)),
        ("Where is this from?", ("organ",), ("where",)),
        ("Show me the worst area", ("where",), ("organ",)),
    ],
)
def test_where_on_the_slide_is_not_where_in_the_body(text: str, intents, not_these) -> None:
    todo = plan(text, views=1)
    assert all(todo.wants(intent) for intent in intents)
    assert not todo.wants(*not_these)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("slides")
    paths = [
        write_slide(folder / f"{name}.tif", 6144, mpp=0.5, tissue=0.8, seed=seed) for name, seed in (("a", 3), ("b", 5))
    ]
    opened = [open_slide(path) for path in paths]
    yield opened
    for one in opened:
        one.close()


class SpreadHeads(FixedHeads):
    """Heads that say how probable the second class is, as trained ones do."""

    def read(self, features: np.ndarray, *, mpp: float | None = None, organ: str | None = None):
        def spread(reading: FixedReading) -> FixedReading:
            chances = zip(reading.classes, (reading.finding.probability, 1 - reading.finding.probability), strict=True)
            return replace(reading, finding=replace(reading.finding, distribution=tuple(chances)))

        return tuple(spread(reading) for reading in super().read(features, mpp=mpp, organ=organ))


def copilot(atlas: FixedAtlas | None = None) -> Copilot:
    return Copilot(Eye(ColourEncoder(), SpreadHeads(), atlas), ScriptedModel())


def asked(
    copilot: Copilot, *views: View, text: str = ASKED, history: tuple[Turn, ...] = ()
) -> tuple[list[Event], Answer]:
    events = list(copilot.ask(Question(text, views, history=history)))
    assert isinstance(events[-1], Done)
    return events, events[-1].answer


def test_the_first_words_come_before_any_field_is_read(slides) -> None:
    events, answer = asked(copilot(), View(slides[0]))
    first = next(number for number, event in enumerate(events) if isinstance(event, Saying))
    before = [look for event in events[:first] if isinstance(event, Looking) for look in event.looks]
    after = [look for event in events[first:] if isinstance(event, Looking) for look in event.looks]
    assert [look.region for look in before] == [slides[0].bounds]
    assert any("spread" in look.why for look in after)
    assert answer.text.startswith("At low power")


@pytest.mark.parametrize("atlas", [None, FixedAtlas()], ids=["settled", "readings disagree"])
def test_what_streams_is_the_answer(slides, atlas) -> None:
    for views in ((View(slides[0]),), (View(slides[0]), View(slides[1]))):
        events, answer = asked(copilot(atlas), *views)
        assert "".join(event.text for event in events if isinstance(event, Saying)) == answer.text
        claims = [event.claim for event in events if isinstance(event, Checked)]
        assert tuple(claims) == answer.claims
        assert all(claim.status != "struck" for claim in claims), [c.reason for c in claims]
        assert len({claim.text for claim in claims}) == len(claims)


def test_every_sentence_on_a_slide_points_at_evidence_or_a_source(slides) -> None:
    _, answer = asked(copilot(), View(slides[0]))
    for claim in answer.claims:
        assert claim.evidence or claim.sources, claim.text
        assert all(0 <= index < len(answer.evidence) for index in claim.evidence)


def test_a_disagreement_is_said_and_stops_the_conclusion(slides) -> None:
    _, answer = asked(copilot(FixedAtlas()), View(slides[0]))
    assert "the readings disagree: the slide reads as malignant (0.80) and the nearest reference case" in answer.text
    assert "favours a malignant process" not in answer.text
    _, settled = asked(copilot(), View(slides[0]))
    assert "favours a malignant process" in settled.text


def test_the_answer_says_what_share_it_has_seen_and_lists_every_look(slides) -> None:
    _, answer = asked(copilot(), View(slides[0]))
    share = next(one for one in answer.findings if one.name == "seen_share")
    assert f"{100 * (share.value or 0):.0f} % of the tissue" in answer.text
    told = answer.as_json()["looks"]
    assert told[0]["why"].startswith("overview")
    assert {"slide", "level0_xywh", "mpp", "why"} == set(told[0])
    assert sum("spread" in look["why"] for look in told) == 64


def test_asked_again_what_was_said_at_low_power_is_not_repeated(slides) -> None:
    seeing = copilot()
    _, first = asked(seeing, View(slides[0]))
    _, again = asked(seeing, View(slides[0]), text="Where is the tumour?", history=(Turn(ASKED, first.text),))
    assert "At low power" not in again.text


def test_several_slides_are_told_one_after_the_other(slides) -> None:
    _, answer = asked(copilot(), View(slides[0]), View(slides[1]))
    views = [text[:6] for text in (claim.text for claim in answer.claims) if text.startswith("View ")]
    opening, rest = views[:2], views[2:]
    assert opening == ["View 1", "View 2"]
    assert rest == sorted(rest)
    assert "View 1: " in answer.text


def test_ihc_beside_h_and_e_is_read_as_ihc() -> None:
    silent = "the picture reads as IHC (0.97); validated on HE only"
    he = observed(
        classified("stain", ("HE", 0.98), ("IHC", 0.02)), classified("category", ("malignant", 0.9), ("normal", 0.1))
    )
    ihc = observed(
        classified("stain", ("IHC", 0.97), ("HE", 0.03)),
        classified("organ", ("colon", 0.9), ("liver", 0.1), abstained=True, reason=silent),
        classified("category", ("malignant", 0.9), ("normal", 0.1), abstained=True, reason=silent),
        Finding("positive_nuclei_share", value=0.21, unit="share"),
        slide="b.svs",
    )
    seen = (Seen(he, 0, "View 1"), Seen(ihc, len(he.evidence), "View 2"))
    said = [one.wordings[0] for one in compose(plan(ASKED, views=2), Material(seen))]
    ground = replace(grounded(he, ihc), question=Question(ASKED))
    assert all(check_sentence(text, ground).status != "struck" for text in said), said
    assert said[0] == "The views differ on the stain: View 1 H&E and View 2 IHC."
    assert "View 2: The process and the organ are not classified: the picture reads as IHC (0.97)." in said
    assert any("21 % of the nuclei" in text for text in said)
    assert any(text.startswith("Which marker was stained") for text in said)
    assert not any("View 2" in text and "malignant" in text for text in said)
