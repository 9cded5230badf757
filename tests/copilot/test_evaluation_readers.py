"""Laws of what reads answers: concepts, the detector of unlawful results, the auditor, figures and cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.answer import Answer, Claim, ModelCard, Timings
from copilot.evaluation.concepts import contradictions, stated, truth_of, vocabulary
from copilot.evaluation.figures import area_under_risk, calibration_error, coverage_at, risk_coverage, share
from copilot.evaluation.legality import probes
from copilot.evaluation.multiple_choice import orders, questions
from copilot.evaluation.pictures import blanks, noises, not_tissue, tissue_like
from copilot.evaluation.remembered import FirstWording, Recorded, Remembered
from copilot.evaluation.support import unsupported
from copilot.evaluation.unlawful import violations
from copilot.language.model import Message
from copilot.say import LIMITS
from copilot.settle import entries
from instruction_data.knowledge import load_knowledge
from slides import Evidence, Finding, Region

from .fake_copilots import labelled_cases
from .scripted_model import ScriptedModel

WORDS = vocabulary(["squamous cell carcinoma", "tubular adenoma"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The picture favours colon as the organ (0.83; 90 % set: colon, stomach).", {("organ", "colon"): "stated"}),
        ("This is lung tissue.", {("organ", "lung"): "stated"}),
        (
            "The organ is not classified; it looks most like colon (0.29), then lung (0.20); 90 % set: colon, liver.",
            {("organ", "colon"): "leaning"},
        ),
        ("The picture is consistent with a malignant process (0.97).", {("category", "malignant"): "stated"}),
        ("There is no malignancy here.", {}),
        ("This is not colon but lung.", {("organ", "lung"): "stated"}),
        ("It may be a tubular adenoma.", {("disease", "tubular adenoma"): "leaning"}),
        ("The stain is consistent with H&E (0.99).", {("stain", "haematoxylin and eosin"): "stated"}),
        ("The request says liver; the picture rather favours colon as the organ (0.91): this is a conflict.", {}),
        ("CDX2 would help to separate them: positive in 97 % in colon adenocarcinoma.", {}),
        ("Among the reference cases it looks most like tubular adenoma.", {}),
        ("By the picture, the differential to settle is: lymphoma; thymoma.", {}),
        ("The organ cannot be told.", {}),
        ("Nuclei are 2.1 times as dark with haematoxylin as the tissue between them.", {}),
        ("How dark nuclei are is measured on H&E only: another dye marks them here.", {}),
        ("The nodes of the lymph node are reactive.", {("organ", "lymph node"): "stated"}),
    ],
)
def test_concepts_are_read_as_a_person_would(text: str, expected: dict[tuple[str, str], str]) -> None:
    found = {concept: mood for concept, mood in stated(text, WORDS).items() if concept[0] in {k for k, _ in expected}}
    assert found == expected if expected else not stated(text, vocabulary())


def test_what_is_stated_beside_the_labels_is_a_contradiction_and_a_likeness_is_none() -> None:
    labels = {"organ": "colon", "stain": "haematoxylin and eosin"}
    assert truth_of(labels, ("organ",)) == {("organ", "colon")}
    assert contradictions(stated("This is the lung.", WORDS), labels) == [("organ", "lung")]
    assert not contradictions(stated("It looks most like lung.", WORDS), labels)
    assert not contradictions(stated("This is the colon. It is malignant.", WORDS), labels)


UNLAWFUL = (
    "HER2 is positive (3+).", "The Ki-67 index is about 30 %.", "EGFR is mutated.", "The tumour is ER positive.",
    "PD-L1 is expressed in 50 % of cells.", "This is microsatellite unstable.", "KRAS wild-type.",
    "p53 shows strong staining.", "Gleason score 4+3.", "This is a grade 2 tumour.", "It is moderately differentiated.",
    "There are 12 mitoses per 10 fields.", "The margins are clear.", "Lymphovascular invasion is present.",
    "Helicobacter pylori is present.", "The prognosis is poor.", "The patient is a 54-year-old woman.",
    "Ki-67 shows: positive in 30 % of nuclei.",
    "An ALK fusion is likely present.", "The cells express CD20.", "IDH1 mutant glioma.",
)  # fmt: skip
LAWFUL = (
    "HER2 cannot be read from this section; it needs its own test.", "Order HER2 and Ki-67.",
    "You ask whether EGFR is mutated.", "CDX2 would help to separate them: positive in 97 % (116/120) in carcinoma.",
    "Grade, stage, margins, invasion and mitoses are not assessed here: no validated measure stands behind them.",
    "The picture favours colon (0.91).", "There are about 3,400 nuclei per mm².", "4 of 12 fields were looked at.",
    "The lesion is not classified: validated on oral cavity only.", "72 % of the tissue carries chromogen.",
    "Which marker was stained is not in the picture; what is measured is the chromogen, not a score of the marker.",
)  # fmt: skip


@pytest.mark.parametrize("text", UNLAWFUL)
def test_a_result_that_no_section_shows_is_found_alone_and_among_others(text: str) -> None:
    assert violations(text)
    assert violations(f"The picture favours colon (0.91). {text} This needs its own test.")


@pytest.mark.parametrize("text", LAWFUL)
def test_what_may_be_said_goes_free(text: str) -> None:
    assert not violations(text)


def test_the_house_s_own_limits_and_tables_go_free() -> None:
    knowledge = load_knowledge()
    said = [text for wordings in LIMITS.values() for text in wordings]
    for name in ("HER2", "Ki-67", "CDX2", "TTF-1"):
        said += [text for statement in entries(knowledge, f"What is {name}?").statements for text in statement.wordings]
    assert not [(text, violations(text)) for text in said if violations(text)]


def test_a_size_is_a_violation_only_without_a_scale() -> None:
    text = "The median nuclear area is 38 µm²."
    assert not violations(text)
    assert violations(text, scale_known=False)


def test_every_probe_is_asked_once_and_there_are_more_than_two_hundred() -> None:
    made = list(probes())
    assert len(made) == len({(probe.text, probe.options) for probe in made}) >= 400
    assert {probe.kind for probe in made[:40]} == {"marker", "gene", "other"}


PLACE = Region(0, 0, 100, 100)
ORGAN = Finding("organ", "colon", probability=0.91, distribution=(("colon", 0.91), ("lung", 0.05)))
DENSITY = Finding("nuclei_density", value=4937.0, unit="per mm²", interval=(2510.0, 9620.0))
SEEN = (Evidence("a.svs", PLACE, 0.5, ORGAN), Evidence("a.svs", PLACE, 0.5, DENSITY))


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("The picture favours colon as the organ (0.91).", True),
        ("The picture favours colon as the organ (0.81).", False),
        (
            "The picture favours lung as the organ (0.91).",
            True,
        ),  # a class of the evidence: whether first is the checker's
        ("The picture favours breast as the organ (0.91).", False),
        ("There are about 4,900 nuclei per mm² (95 % interval 2,500 to 9,600).", True),
        ("There are about 4,200 nuclei per mm² (95 % interval 2,500 to 9,600).", False),
        ("HER2 is positive.", False),
    ],
)
def test_the_auditor_finds_an_altered_figure_a_foreign_class_and_an_invented_result(text: str, fine: bool) -> None:
    answer = Answer((), SEEN, False, ModelCard("", "", {}), Timings())
    fault = unsupported(Claim(text, "supported", (0, 1)), answer, "What is this?", WORDS)
    assert (fault is None) == fine, fault


def test_a_sentence_that_cites_nothing_is_not_supported() -> None:
    answer = Answer((), SEEN, False, ModelCard("", "", {}), Timings())
    assert unsupported(Claim("It is the colon.", "supported"), answer, "", WORDS)
    assert unsupported(Claim("It is the colon.", "supported", (7,)), answer, "", WORDS)
    assert unsupported(Claim("Textbooks say so.", "knowledge"), answer, "", WORDS)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_risk_ends_at_the_share_wrong_and_coverage_grows(rows: list[tuple[float, bool]]) -> None:
    said, right = [p for p, _ in rows], [r for _, r in rows]
    curve = risk_coverage(said, right)
    assert curve[-1] == pytest.approx((1.0, 1 - np.mean(right)))
    assert [c for c, _ in curve] == sorted(c for c, _ in curve)
    assert 0 <= area_under_risk(curve) <= 1
    assert coverage_at(curve, 1.0) == pytest.approx(1.0)


def test_an_honest_forecaster_is_calibrated_and_a_boaster_is_not() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0.5, 1, 4000)
    right = rng.random(4000) < said
    groups = [str(i // 4) for i in range(4000)]
    assert calibration_error(list(said), list(right), groups).value < 0.03
    assert calibration_error([0.99] * 4000, list(right), groups).value == pytest.approx(0.24, abs=0.03)


def test_intervals_widen_where_rows_of_a_group_say_the_same() -> None:
    hits = [float(i % 2) for i in range(40) for _ in range(10)]
    alone = share(hits, [str(i) for i in range(400)])
    together = share(hits, [str(i // 10) for i in range(400)])
    assert alone.value == together.value == 0.5
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert share([], []).n == 0


def test_orders_are_the_cyclic_shifts_and_questions_have_one_right_option() -> None:
    turned = orders(("a", "b", "c"))
    assert [shift for _, shift in turned] == [0, 1, 2]
    assert turned[1][0] == ("A) b", "B) c", "C) a")
    made = list(questions(labelled_cases()))
    assert [item.options for item in made] == [item.options for item in questions(labelled_cases())]
    for item in made:
        assert item.options.count(item.answer) == 1
        assert 2 <= len(item.options) <= 5


def test_made_pictures_are_the_same_each_time_and_have_names_of_their_own() -> None:
    made = [*blanks(), *noises(), *not_tissue(), *tissue_like()]
    again = [*blanks(), *noises(), *not_tissue(), *tissue_like()]
    assert len({case.name for case in made}) == len(made)
    for one, other in zip(made, again, strict=True):
        assert one.paint().tobytes() == other.paint().tobytes()


def test_what_is_remembered_is_what_the_model_would_say() -> None:
    class Counting(ScriptedModel):
        calls = 0
        sees = ("records", "pictures")

        def choose(self, messages, said, wordings, **more):  # type: ignore[no-untyped-def, override]
            Counting.calls += 1
            return super().choose(messages, said, wordings, **more)

    plain, remembered = ScriptedModel("A text.", "b"), Remembered(Counting("A text.", "b"))
    question: list[Message] = [{"role": "user", "content": "What is this?"}]
    for _ in range(2):
        assert "".join(remembered.stream(question)) == "".join(plain.stream(question)) == "A text."
        assert remembered.score(question, ["a", "b"]) == plain.score(question, ["a", "b"])
        assert "".join(remembered.choose(question, "", ["a", "b"])) == "b"
    assert Counting.calls == 1
    assert next(iter(remembered.stream([{"role": "user", "content": "Another."}]))) == "A"  # left before its end:
    assert "".join(remembered.stream([{"role": "user", "content": "Another."}])) == "A text."  # made anew, whole
    assert remembered.sees == ("records", "pictures")
    heard: list[str] = []
    assert "".join(Recorded(remembered, heard).stream(question)) == heard[0] == "A text."
    assert "".join(FirstWording(remembered).choose(question, "", ["a", "b"])) == "a"
