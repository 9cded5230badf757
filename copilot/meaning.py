"""What a short text means in the terms of the findings: organs, category, stain, or what no section shows.

Used for options, for the words of a request, and for the diagnoses of the knowledge tables. Own rules and words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from .terms import MARKER, ORGANS, canonical, spelled, term_pattern

if TYPE_CHECKING:
    from instruction_data.knowledge import Entity, Knowledge

CATEGORIES = ("malignant", "benign tumour", "pre-malignant", "inflammatory/infectious", "normal")
ANY = "any"

_LABEL = re.compile(
    r"^\s*(?:(?:option|answer|choice)\s+)?(?:\(\s*(?:[A-Za-z]|\d{1,2})\s*\)|(?:[A-Za-z]|\d{1,2})\s*[).:])\s+"
)
_NEGATED = re.compile(r"\b(?:no|not|non|without|absence of|absent|free of|negative for|lacks?|excludes?)\b[\s-]*")
_DENIED = re.compile(r"(?: \w+)? (?:is |are )?(?:absent|not (?:present|seen|identified|found)|negative)\b")
_NOT_TOLD = re.compile(
    r"\b(?:cannot|can not|can't|could not|not possible to|impossible to|unable to) (?:be )?(?:told|"
    r"determined?|said|tell|assessed?|"
    r"answered?|decided?|say|known|judge)|\b(?:undetermined|indeterminate|not determinable|insufficient|"
    r"unknown|unsure|"
    r"don't know|not sure|uncertain|not enough|inconclusive)\b"
)
_NONE = re.compile(
    r"^(?:none|none of (?:the|these).*|neither.*|other|another|something else|any other.*|"
    r"other .*)$"
)
_ALL = re.compile(r"^(?:all|all of (?:the|these).*|both.*|any of .*)$")

# Words of disease, first match wins; the classes share the weight.
_CATEGORY_RULES: tuple[tuple[str, Mapping[str, float]], ...] = (
    (r"pre-?\s?malignan\w*|precancer\w*|pre-?invasive|in situ|intraepithelial|borderline|\bdcis\b|\blcis\b|"
     r"\bcis\b", {"pre-malignant": 1.0}),
    (r"dysplas\w*|serrated (?:lesion|adenoma|polyp)|(?:tubular|villous|tubulovillous|colorectal|colonic|"
     r"gastric|duodenal) adenoma",
     {"pre-malignant": 0.85, "benign tumour": 0.15}),
    (r"non-?\s?neoplastic|non-?\s?tumou?r\w*", {"normal": 0.6, "inflammatory/infectious": 0.4}),
    (r"non-?\s?malignan\w*|"
     r"non-?\s?cancer\w*", {"normal": 0.4, "inflammatory/infectious": 0.3, "benign tumour": 0.2, "pre-malignant": 0.1}),
    (r"benign (?:tumou?r|neoplas\w*|growth)", {"benign tumour": 1.0}),
    (r"\bbenign\b", {"benign tumour": 0.6, "normal": 0.25, "inflammatory/infectious": 0.15}),
    (r"malignan\w*|cancer\w*|carcinoma\w*|adenocarcinoma\w*|\w*sarcoma\w*|lymphoma\w*|melanoma\w*|"
     r"glioblastoma\w*|glioma\w*|"
     r"astrocytoma\w*|oligodendroglioma\w*|leuka?emi\w*|myeloma\w*|seminoma\w*|mesothelioma\w*|"
     r"\w+blastoma\w*|metasta\w*|carcinoid\w*|"
     r"neuroendocrine (?:tumou?r|neoplasm)\w*|gist\b|gastrointestinal stromal tumou?r|invasive|"
     r"choriocarcinoma|\bgbm\b|\boscc\b|\bscc\b",
     {"malignant": 1.0}),
    (r"hyperplastic polyp|hamartoma\w*|inflammatory polyp|"
     r"endometrial polyp", {"normal": 0.6, "benign tumour": 0.4}),
    (r"fibroadenoma\w*|phyllodes|papilloma\w*|lipoma\w*|leiomyoma\w*|schwannoma\w*|neurofibroma\w*|"
     r"h?a?emangioma\w*|fibroma\w*|na?ev\w*|"
     r"granular cell tumou?r|meningioma\w*|osteoma\w*|chondroma\w*|adenoma\w*|myelolipoma\w*|teratoma|"
     r"cystadenoma\w*|\w+ angioma|oncocytoma",
     {"benign tumour": 1.0}),
    (r"polyp\w*", {"benign tumour": 0.4, "pre-malignant": 0.3, "normal": 0.3}),
    (r"\w+itis\b|inflam\w*|infect\w*|granulom\w*|abscess\w*|crohn\w*|helicobacter|pylori|giardia\w*|fung\w*|"
     r"mycosis|\w*mycosis|"
     r"tubercul\w*|\w+iasis\b|\w+idiosis\b|rejection|ulcer\w*|sarcoid\w*|viral|bacteri\w*|parasit\w*|herpes|"
     r"cytomegalovirus|molluscum|eosinophilic",
     {"inflammatory/infectious": 1.0}),
    (r"\bnormal\b|unremarkable|healthy|no (?:abnormality|pathology|tumou?r|lesion|disease)|reactive|"
     r"hyperplas\w*|metaplas\w*|ectop\w*|"
     r"heterotop\w*|steatosis|congestion|storage|fat necrosis|anthracosis|melanosis|artefact|sinuses|"
     r"accessory|physiological",
     {"normal": 1.0}),
    (r"neoplas\w*|tumou?r\w*", {"malignant": 0.6, "benign tumour": 0.25, "pre-malignant": 0.15}),
)  # fmt: skip
_CATEGORY = tuple((re.compile(rf"\b(?:{pattern})"), weights) for pattern, weights in _CATEGORY_RULES)

_ENTITY_CATEGORIES: dict[str, str] = {
    word: category
    for category, words in {
        "malignant": (
            "malignant", "lymphoma", "germ cell", "low-grade malignant", "neuroendocrine", "low-grade", "low grade",
            "gestational", "malignant potential",
        ),
        "benign tumour": ("benign", "mesenchymal benign", "usually benign", "vascular"),
        "pre-malignant": ("dysplasia", "in situ", "precursor", "borderline", "intermediate", "atypical"),
        "inflammatory/infectious": ("inflammatory", "infection", "immune"),
        "normal": ("normal", "reactive", "metaplasia", "deposit", "metabolic", "drug", "scar"),
    }.items()
    for word in words
}  # fmt: skip
"""Category of a diagnosis by the word that the knowledge tables use for it."""

_STAINS: tuple[tuple[str, str], ...] = (
    ("HE", r"\bh\s?(?:&|and|/|\+)?\s?e\b|ha?ematoxylin|eosin\b"),
    ("IHC", r"\bihc\b|immuno\w*|\bdab\b|chromogen|ki-?\s?67|\bcd\d+\b"),
    ("special stain", r"special stain|\bpas\b|periodic acid|trichrome|silver|giemsa|reticulin|grocott|"
                      r"\bgms\b|ziehl|alcian|congo red|"
                      r"mucicarmine|perls|prussian|elastic|gram stain|masson|warthin"),
    ("cytology", r"cytolog\w*|\bsmear\w*|\bpap(?:anicolaou)?\b|fine.needle|\bfna\b|aspirate|blood film|"
                 r"blood cells?"),
    ("not histology", r"not (?:a )?(?:histolog\w*|tissue|microscop\w*|patholog\w*)|radiolog\w*|"
                      r"radiograph\w*|x-?ray|\bmri\b|\bct\b|"
                      r"mammogra\w*|photograph\w*|dermosco\w*|fluorescence|aerial|landscape|natural image|"
                      r"no tissue|empty glass|blank"),
)  # fmt: skip
_STAIN = tuple((name, re.compile(pattern)) for name, pattern in _STAINS)

_DISEASE_ORGANS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"hepatocellular|hepatitis|cirrhosis|cholangiocarcinoma|hepatoblastoma|steato", ("liver",)),
    (r"renal cell|glomerul\w*|nephr\w*|wilms|oncocytoma", ("kidney",)),
    (r"urothelial|transitional cell|cystitis", ("urinary bladder",)),
    (r"gliom\w*|glioblastom\w*|astrocytom\w*|oligodendrogliom\w*|medulloblastom\w*|ependymom\w*|"
     r"\bgbm\b", ("brain",)),
    (r"meningiom\w*", ("meninges", "brain")),
    (r"seminom\w*", ("testis",)),
    (r"osteosarcom\w*|ewing|chondrosarcom\w*|osteoid|osteomyelitis", ("bone",)),
    (r"gastritis|helicobacter|pylori", ("stomach",)),
    (r"\bcolitis|crohn|sessile serrated|melanosis coli|diverticulitis", ("colon",)),
    (r"coeliac|celiac|giardia\w*", ("small intestine",)),
    (r"appendicitis|enterobi\w*", ("appendix",)),
    (r"cholecystitis|rokitansky", ("gallbladder",)),
    (r"o?esophagitis|barrett", ("oesophagus",)),
    (r"pancreatitis", ("pancreas",)),
    (r"fibroadenom\w*|phyllodes|invasive (?:ductal|lobular)|ductal carcinoma(?! of the pancreas)|"
     r"lobular carcinoma|\bdcis\b|"
     r"carcinoma of no special type|adenosis|mastitis", ("breast",)),
    (r"\boscc\b", ("oral cavity",)),
    (r"basal cell carcinoma|dermatitis|psoriasis|molluscum|na?evus", ("skin",)),
    (r"pneumonia|small cell lung|bronch\w*", ("lung",)),
    (r"thyroiditis|papillary thyroid|goitre", ("thyroid",)),
    (r"liposarcom\w*|lipoma|leiomyosarcom\w*|rhabdomyosarcom\w*|schwannom\w*|synovial sarcom\w*|"
     r"clear cell sarcom\w*", ("soft tissue",)),
    (r"hodgkin|follicular lymphoma|lymphadenitis", ("lymph node",)),
    (r"chorioamnionitis|villitis|hydatidiform|trophoblast\w*", ("placenta",)),
    (r"prostatitis|gleason", ("prostate",)),
    (r"sialadenitis|sialometaplasia|pleomorphic adenoma|warthin tumou?r", ("salivary gland",)),
)  # fmt: skip
_DISEASE_ORGAN = tuple((re.compile(rf"\b(?:{pattern})"), organs) for pattern, organs in _DISEASE_ORGANS)

_BEYOND = re.compile(
    r"\b(?:positive|negative|status|amplif\w*|mutat\w*|mutant|wild-?type|unstable|stable|overexpress\w*|"
    r"expression|score|deficient|"
    r"proficient|rearrang\w*|fusion|[0-3]\+)(?:\b|$)"
)
_GRADE = re.compile(
    r"\b(?:grade\s*(?:[1-4]|i{1,3}v?)\b|(?:high|low|intermediate)[- ]grade|g[1-4]\b|gleason\s*(?:score|"
    r"pattern|\d)|stage\s*(?:[0-4]|i{1,3}v?)|"
    r"p?t[0-4][a-d]?\b|p?n[0-3]\b|well|moderately|poorly)[- ]?(?:differentiated)?|\bmitos\w*|\bmitotic\b|"
    r"\bprognos\w*|\bsurviv\w*"
)
# The organ words of a text are found longest first, so that "lymph node" is not also "node".
_ORGAN_FORMS = sorted(
    {(form, organ) for organ, words in ORGANS.items() for word in words for form in spelled(word)},
    key=lambda pair: (-len(pair[0]), pair),
)
_ORGAN = tuple((re.compile(rf"(?<![\w-]){term_pattern(form)}(?![\w])"), organ) for form, organ in _ORGAN_FORMS)


_FILLER = frozenset(
    {"tissue", "parenchyma", "biopsy", "specimen", "section", "wall", "sample", "resection", "a", "an", "the", "of",
     "from", "in", "it", "is", "this", "organ", "site", "mucosa", "core", "piece", "part"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says. `categories` shares a weight of 1 over classes, empty when it names none."""

    text: str
    organs: frozenset[str] = frozenset()
    categories: tuple[tuple[str, float], ...] = ()
    stain: str | None = None
    entity: str | None = None
    negated: bool = False
    special: str | None = None
    """`yes`, `no`, `not told`, `none`, `all`, or None."""
    beyond: bool = False
    """It names what no H&E section shows: a marker's result, a molecular result, a grade or a stage."""
    words: frozenset[str] = field(default=frozenset())


def bare_option(text: str) -> str:
    """An option without its letter or number: `B) colon` is `colon`."""
    bare = _LABEL.sub("", text, count=1).strip().strip(".").strip()
    return " ".join((bare or text).split())


def meaning(text: str, knowledge: Knowledge | None = None) -> Meaning:
    """The meaning of a text; a diagnosis of the knowledge tables adds its organ and category."""
    said = canonical(text)
    if special := _special(said):
        return Meaning(text, special=special)
    negated = bool(_NEGATED.search(said))
    categories = category_weights(said)
    beyond = bool(_GRADE.search(said) or (MARKER.search(said) and _BEYOND.search(said)))
    entity = None
    if knowledge is not None and not negated and (categories or not (beyond or _only_a_site(said))):
        entity = knowledge.find_entity(text)
    organs = organs_in(said)
    if entity is not None:
        organs = organs or entity_organs(entity)
        if not categories and (known := entity_category(entity)):
            categories = {known: 1.0}
    return Meaning(
        text,
        organs=organs,
        categories=tuple(sorted(categories.items())),
        stain=stain_in(said),
        entity=None if entity is None else entity.id,
        negated=negated,
        beyond=beyond,
        words=frozenset(re.findall(r"[a-z]{4,}", said)),
    )


def _special(said: str) -> str | None:
    if re.fullmatch(r"(?:yes|true|present|correct)\b.{0,12}|positive", said):
        return "yes"
    if re.fullmatch(r"(?:no|false|absent|incorrect)\b[ .,]?|negative", said):
        return "no"
    for name, pattern in (("not told", _NOT_TOLD), ("none", _NONE), ("all", _ALL)):
        if pattern.search(said):
            return name
    return None


def _only_a_site(said: str) -> bool:
    """True for `tissue from the liver` and the like, which name no diagnosis."""
    for pattern, _ in _ORGAN:
        said = pattern.sub(" ", said)
    return all(word in _FILLER for word in re.findall(r"[a-z]+", said))


@lru_cache(maxsize=2048)
def organs_in(text: str) -> frozenset[str]:
    """Organs that a text names, or that its disease words live in."""
    said = canonical(text)
    found: set[str] = set()
    for pattern, organ in _ORGAN:
        if match := pattern.search(said):
            found.add(organ)
            said = said[: match.start()] + " " * len(match[0]) + said[match.end() :]
    if not found:
        for pattern, organs in _DISEASE_ORGAN:
            if pattern.search(said):
                found.update(organs)
                break
    return frozenset(found)


def is_organ_name(text: str) -> bool:
    """True when the whole text is the name of an organ."""
    return any(pattern.fullmatch(canonical(text)) for pattern, _ in _ORGAN)


def category_weights(text: str) -> dict[str, float]:
    """Shares over `CATEGORIES` that the disease words of a text point to; a negation turns them round."""
    said = canonical(text)
    for pattern, weights in _CATEGORY:
        match = pattern.search(said)
        if match is None:
            continue
        before = said[max(0, match.start() - 24) : match.start()]
        if (_NEGATED.search(before) or _DENIED.match(said[match.end() :])) and not match[0].startswith(("no ", "non")):
            rest = [name for name in CATEGORIES if weights.get(name, 0.0) < 0.5]
            return {name: 1.0 / len(rest) for name in rest}
        return dict(weights)
    return {}


def stain_in(text: str) -> str | None:
    """The class of stain, or of picture, that a text names."""
    said = canonical(text)
    return next((name for name, pattern in _STAIN if pattern.search(said)), None)


@lru_cache(maxsize=1024)
def entity_organs(entity: Entity) -> frozenset[str]:
    """Organs in which a diagnosis arises; empty for one that occurs anywhere."""
    if entity.organ in ("", ANY):
        return frozenset()
    tracts = {
        "GI tract": ("oesophagus", "stomach", "small intestine", "colon", "appendix"),
        "Lymphoid": ("lymph node",),
        "head and neck": ("oral cavity", "larynx"),
    }
    return frozenset(tracts.get(entity.organ) or organs_in(entity.organ))


def entity_category(entity: Entity) -> str | None:
    """The category of a diagnosis among `CATEGORIES`, None where the tables leave it open."""
    known = _ENTITY_CATEGORIES.get(entity.category)
    if known is not None:
        return known
    weights = category_weights(entity.name)
    return max(weights, key=lambda name: weights[name]) if weights else None
