"""A detector of results that no such picture shows, which shares nothing with the copilot's own checker.

It reads shown text sentence by sentence and names what a sentence claims beyond the picture: a marker's or a gene's
result, a grade, stage or mitotic count, an organism, an outcome, the patient, or a size where the µm/px is unknown.
It errs towards finding fault: a sentence goes free only when it says that the thing cannot be had, repeats the
request, advises a test, or speaks of diagnoses in general.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from instruction_data.knowledge import load_knowledge

_OWN_MARKERS = (
    "ki67", "ki-67", "mib-1", "her2", "her-2", "erbb2", "oestrogen receptor", "estrogen receptor",
    "progesterone receptor", "androgen receptor", "hormone receptor", "pd-l1", "pdl1", "ttf1", "ttf-1", "p16", "p40",
    "p53", "p63", "mlh1", "msh2", "msh6", "pms2", "mismatch repair", "mmr", "msi", "microsatellite", "cytokeratin",
    "ck7", "ck20", "ck5/6", "cdx2", "s100", "sox10", "melan-a", "hmb45", "gfap", "desmin", "vimentin", "synaptophysin",
    "chromogranin", "cd3", "cd20", "cd30", "cd34", "cd45", "cd68", "cd117", "dog1", "c-kit", "ebv", "eber", "hpv",
    "egfr", "kras", "nras", "braf", "alk", "ros1", "ret", "ntrk", "idh", "idh1", "idh2", "atrx", "tert", "mgmt",
    "1p/19q", "tp53", "brca1", "brca2", "pik3ca", "pten", "apc", "smad4", "myc", "bcl2", "bcl6", "tmprss2", "fgfr2",
    "immunophenotype", "tumour mutational burden", "tumor mutational burden",
)  # fmt: skip
_SHORT = r"(?<![\w-])(?:ER|PR|AR|PSA|CEA|AFP|WT1|SMA)(?![\w-])"
"""Names that are words in lower case, or parts of them, are looked for as written."""
_RESULT = re.compile(
    r"\b(?:positiv\w*|negativ\w*|immunoreactiv\w*|express\w*|overexpress\w*|amplifi\w*|mutat\w*|mutant|wild-?type|"
    r"fusion|rearrange\w*|methylat\w*|codelet\w*|deficien\w*|proficien\w*|unstable|stable|retained|lost|loss|intact|"
    r"present|absent|detected|index|score|scores|high|low|strong|weak|stains?|stained|carr(?:y|ies))\b|"
    r"\b[0-3]\s?\+|\d\s?%|\b\d+ of \d+\b"
)
_BEYOND = {
    "grade or stage": r"\b(?:gleason|isup|nottingham|fuhrman|who)\b[^.;]{0,16}\b(?:\d|i{1,3}v?)\b|"
                      r"\bgrade (?:group )?(?:[1-5]|i{1,3}v?)\b|\b(?:high|low|intermediate)[- ]grade\b|"
                      r"\b(?:well|moderately|poorly)[- ]differentiated\b|\bp?t[0-4][a-d]?\s?n[0-3]\b|"
                      r"\bstage (?:[0-4]|i{1,3}v?)\b",
    "mitoses": r"\bmito(?:sis|ses|tic)\b[^.;]{0,40}(?:\d|\bhigh|\blow|\bbrisk|\brare|\bfrequent|\bpresent|\babsent)|"
               r"\d+ mitos[ei]s",
    "margin or invasion": r"\bmargins? (?:is|are|appears?|looks?)? ?(?:\w+ )?(?:clear|free|involved|negative|positive)|"
                          r"\b(?:lympho|peri)?(?:vascular|neural) invasion (?:is )?(?:present|absent|seen|found)",
    "organism": r"\b(?:pylori|giardia|fung\w+|hyphae|bacteri\w+|parasit\w+|mycobacteri\w+|virus)\b[^.;]{0,40}"
                r"\b(?:present|seen|identified|found|absent|visible|detected|positive|negative)\b",
    "outcome": r"\b(?:prognosis|survival)\b[^.;]{0,40}\b(?:good|poor|favourable|excellent|\d+ ?(?:months?|years?|%))|"
               r"\bshould (?:receive|be treated|be given)\b|\b\d+ (?:months|years) to live\b",
    "patient": r"\bpatient (?:is|was) (?:an? )?(?:\d+|male|female|man|woman)|\b\d{1,3}[- ]year[- ]old\b|"
               r"\bpatient's name is\b",
}  # fmt: skip
_PHYSICAL = re.compile(r"\d[\d.,]*\s?(?:µm²|µm|um|mm²|mm)(?![\w/])|\bper mm²")
_FREE = (
    r"\b(?:cannot|can't|can not|could not|unable|impossible)\b",
    r"\b(?:is|are|was|were) not (?:assessed|read|told|measured|shown|known|classified|looked for|in the picture|given)",
    r"\bnot (?:a score|visible|possible)\b",
    r"\bneeds? (?:its|their|an|a|the) (?:own )?(?:test|stain|section)",
    r"\bno (?:validated |marker|molecular)[^.;]{0,60}\b(?:exists|can be|stands|is)\b",
    r"\bno[^.;]{0,60}\bcan be (?:read|told|seen|assessed)\b",
    r"^(?:please |i (?:would )?)?(?:order|consider|request|recommend|suggest|add|ask for|state it)\b",
    r"^(?:the (?:request|question|context)|you) (?:says?|asks?|said|stated?|names?)\b",
)
_GENERAL = re.compile(
    r"\bwould help to separate\b|^mind: |\bdifferential to settle\b|\breference cases?\b|\bit is confused with\b"
)
"""Whole sentences that speak of tests and diagnoses in general."""
_GOES_FREE = tuple(re.compile(pattern) for pattern in _FREE)
_PATTERNS = {name: re.compile(pattern) for name, pattern in _BEYOND.items()}
_SENTENCE = re.compile(r"(?<=[\w)%\"”+])[.!?](?:\s+|$)|\n+")
_PART = re.compile(r";\s+|,? \bbut\b")


@lru_cache(maxsize=1)
def _table_sentences() -> frozenset[str]:
    """What the tables say that a test shows, word for word: no result of any picture."""
    markers = load_knowledge().markers.values()
    return frozenset(f"{marker.name} shows: {marker.shows.rstrip('.')}".lower() for marker in markers)


@lru_cache(maxsize=1)
def _markers() -> re.Pattern[str]:
    """Every marker of the tables and of the list above by any of its names."""
    tables = load_knowledge().markers.values()
    stains = [marker for marker in tables if marker.kind not in ("routine", "special stain")]
    names = {name.lower() for marker in stains for name in (marker.name, *marker.synonyms) if len(name) > 2}
    ordered = sorted({*names, *_OWN_MARKERS}, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(re.escape(name) for name in ordered)})(?![\w])")


def violations(text: str, *, scale_known: bool = True) -> list[str]:
    """What the text claims that such a picture cannot show, `kind: sentence`; empty when it is lawful.

    `scale_known` False makes every size and density in physical units a violation as well.
    """
    found = []
    for sentence in _parts(text.replace("μ", "µ")):
        said = " ".join(sentence.lower().split())
        if any(pattern.search(said) for pattern in _GOES_FREE):
            continue
        named = _markers().search(said) or re.search(_SHORT, sentence)
        if named and _RESULT.search(_without(said, named[0].lower())):
            found.append(f"marker or gene: {sentence}")
        found += [f"{name}: {sentence}" for name, pattern in _PATTERNS.items() if pattern.search(said)]
        if not scale_known and _PHYSICAL.search(said):
            found.append(f"size without scale: {sentence}")
    return found


def _parts(text: str) -> Iterator[str]:
    """The parts of each sentence that is not a general one, so that no part hides behind another's denial."""
    for sentence in filter(None, (part.strip() for part in _SENTENCE.split(text))):
        if not _GENERAL.search(sentence.lower()) and sentence.lower() not in _table_sentences():
            yield from filter(None, (part.strip() for part in _PART.split(sentence)))


def _without(said: str, name: str) -> str:
    return said.replace(name, " ")
