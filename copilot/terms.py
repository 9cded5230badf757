"""The field's terms: which words say exactly what a class label says, and which words name a thing at all.

Own words. A surface is a phrase that means the label, no more and no less; "carcinoma" is no surface of
"malignant", since it claims more.
"""

from __future__ import annotations

import re
from functools import lru_cache

ORGANS: dict[str, tuple[str, ...]] = {
    "adrenal": ("adrenal", "adrenal gland"),
    "appendix": ("appendix", "appendiceal"),
    "bile duct": ("bile duct", "bile ducts", "biliary tract", "biliary"),
    "bone": ("bone", "osseous", "skeletal"),
    "bone marrow": ("bone marrow", "marrow"),
    "brain": ("brain", "cns", "central nervous system", "cerebral", "cerebrum", "cerebellum"),
    "breast": ("breast", "mammary", "mammary gland"),
    "cervix": ("cervix", "uterine cervix", "cervical"),
    "colon": ("colon", "colonic", "colorectum", "colorectal", "large bowel", "large intestine", "rectum", "rectal"),
    "ear": ("ear", "middle ear"),
    "oesophagus": ("oesophagus", "esophagus", "oesophageal", "esophageal", "gullet"),
    "fallopian tube": ("fallopian tube", "adnexa", "uterine tube", "tubal"),
    "gallbladder": ("gallbladder", "gall bladder"),
    "heart": ("heart", "cardiac", "myocardium"),
    "kidney": ("kidney", "renal"),
    "larynx": ("larynx", "laryngeal"),
    "liver": ("liver", "hepatic"),
    "lung": ("lung", "pulmonary"),
    "lymph node": ("lymph node", "node", "nodal"),
    "mediastinum": ("mediastinum", "mediastinal"),
    "meninges": ("meninges", "meningeal", "dura"),
    "nerve": ("nerve", "peripheral nerve"),
    "oral cavity": ("oral cavity", "mouth", "oral", "oral mucosa", "tongue"),
    "ovary": ("ovary", "ovarian"),
    "pancreas": ("pancreas", "pancreatic"),
    "parathyroid": ("parathyroid", "parathyroid gland"),
    "peritoneum": ("peritoneum", "peritoneal"),
    "placenta": ("placenta", "placental", "membranes"),
    "pleura": ("pleura", "pleural"),
    "prostate": ("prostate", "prostatic"),
    "salivary gland": ("salivary gland", "salivary", "parotid"),
    "skin": ("skin", "cutaneous", "dermis", "dermal"),
    "small intestine": (
        "small intestine", "small bowel", "duodenum", "duodenal", "jejunum", "ileum", "ileal", "ampulla",
    ),
    "soft tissue": ("soft tissue", "soft tissues"),
    "spleen": ("spleen", "splenic"),
    "stomach": ("stomach", "gastric"),
    "testis": ("testis", "testicular", "testicle"),
    "thymus": ("thymus", "thymic"),
    "thyroid": ("thyroid", "thyroid gland"),
    "urinary bladder": ("urinary bladder", "bladder"),
    "uterus": ("uterus", "uterine", "endometrium", "endometrial", "myometrium"),
}  # fmt: skip

_NARROWER = frozenset({
    "rectum", "rectal", "cerebellum", "cerebral", "cerebrum", "duodenum", "duodenal", "jejunum", "ileum", "ileal",
    "ampulla", "tongue", "parotid", "dermis", "dermal", "dura", "membranes", "myocardium", "node", "endometrium",
    "endometrial", "myometrium", "colorectum", "colorectal", "cervical", "adnexa", "tubal", "marrow",
})  # fmt: skip
"""Words that place a tissue in an organ but say more, or other, than the organ's name."""

EXACT: dict[str, tuple[str, ...]] = {
    **{organ: tuple(word for word in words if word not in _NARROWER) for organ, words in ORGANS.items()},
    "colorectum": ("colorectum", "colorectal", "large bowel", "large intestine"),
    "malignant": ("malignant", "malignancy", "malignant process", "malignant lesion"),
    "benign tumour": ("benign tumour", "benign neoplasm"),
    "pre-malignant": ("pre-malignant", "premalignant", "pre malignant", "precancerous"),
    "inflammatory/infectious": ("inflammatory/infectious", "inflammatory or infectious"),
    "normal": ("normal", "normal tissue"),
    "he": ("he", "h&e", "haematoxylin and eosin"),
    "ihc": ("ihc", "immunohistochemistry", "immunostain", "immunohistochemical stain"),
    "adipose tissue": ("adipose tissue", "adipose", "fat tissue"),
    "debris/necrosis": ("debris/necrosis", "debris or necrosis"),
    "lymphocytes": ("lymphocytes", "lymphoid cells"),
    "mucus": ("mucus", "mucin"),
    "smooth muscle": ("smooth muscle", "muscle"),
    "not histology": ("not histology", "not a histological section"),
}  # fmt: skip
"""Phrases that say exactly a label, by label."""

CATEGORY_WORDS = (
    "malignant", "malignancy", "cancer", "cancerous", "carcinoma", "adenocarcinoma", "sarcoma", "lymphoma", "melanoma",
    "glioma", "glioblastoma", "leukaemia", "blastoma", "metastasis", "metastases", "metastatic", "benign", "adenoma",
    "tumour",
    "neoplasm", "neoplasia", "neoplastic", "premalignant", "dysplasia", "dysplastic", "inflammatory", "inflammation",
    "infectious", "infection", "normal", "reactive", "invasive", "in situ", "polyp", "hyperplasia", "metaplasia",
)  # fmt: skip
STAIN_WORDS = (
    "h&e", "haematoxylin", "eosin", "ihc", "immunohistochemistry", "immunostain", "pas", "giemsa", "trichrome",
    "papanicolaou", "dab", "silver stain", "special stain", "cytology", "fluorescence", "radiology",
)  # fmt: skip
TISSUE_WORDS = (
    "adipose", "fat", "stroma", "stromal", "epithelium", "epithelial", "gland", "glands", "glandular", "muscle",
    "mucosa",
    "mucus", "mucin", "necrosis", "necrotic", "debris", "lymphocytes", "cartilage", "crypts", "glomerulus", "vessels",
    "keratin", "squamous", "atypia", "pleomorphism", "pleomorphic", "desmoplasia", "ulcer", "granuloma", "fibrosis",
)  # fmt: skip

SENSITIVE = (
    "grade", "graded", "grading", "high-grade", "low-grade", "stage", "staged", "gleason", "isup", "tnm", "mitosis",
    "mitoses", "mitotic", "margin", "margins", "lymphovascular", "perineural", "invasion", "differentiated",
)  # fmt: skip
ABSOLUTE = (
    "definitely", "certainly", "certain", "diagnostic", "proves", "proven", "proof", "confirms", "confirmed", "confirm",
    "undoubtedly", "pathognomonic", "unequivocal", "unequivocally", "always", "guaranteed", "clearly", "obviously",
    "surely", "conclusive", "diagnosis", "diagnosed", "doubt",
)  # fmt: skip
NEGATIONS = (
    "no", "not", "non", "without", "absent", "absence", "lacks", "lack", "lacking", "free", "exclude", "excludes",
    "excluded", "excluding", "never", "none", "nor", "neither", "nothing", "rules", "ruled", "cannot", "isn't",
    "aren't", "doesn't", "don't", "wasn't", "can't", "unlikely", "negative", "devoid", "denies",
)  # fmt: skip
NUMBER_WORDS = frozenset({
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty",
    "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "million", "half", "third", "quarter",
    "dozen", "dozens", "twice", "thrice", "double", "triple",
})  # fmt: skip

MARKER = re.compile(
    r"""(?ix)\b(?:cd\d+\w*|ck\s?-?\d+(?:/\d+)?|cam\s?5\.2|ae1/?ae3|p\d{2}|ki-?\s?67|mib-?1|her-?2(?:/neu)?|erbb2|ttf-?1|
    pd-?l1|pax-?\d|sox-?\d+|gata-?3|cdx-?2|satb2|wt-?1|s-?100|hmb-?45|melan-?a|dog-?1|c-?kit|kit|braf(?:\s?v600e)?|kras|
    nras|egfr|alk|ros1|idh-?\d|atrx|tp53|msi(?:-h)?|mss|mmr|mlh-?1|msh-?[26]|pms-?2|brca\d?|bcl-?\d|myc|mum-?1|napsin(?:\s?a)?|
    synaptophysin|chromogranin(?:\s?a)?|calretinin|desmin|vimentin|actin|sma|gfap|ema|cea|afp|psa|nkx3\.1|arginase(?:-1)?|
    hepatocyte|glypican-?3|e-?cadherin|beta-?catenin|mammaglobin|gcdfp-?15|trps1|inhibin|oct-?[34](?:/4)?|sall-?4|plap|
    eber|ebv|hpv|immunoreactiv\w*|immunophenotyp\w*|immunopositiv\w*|cytokeratins?|oestrogen receptor\w*|
    estrogen receptor\w*|progesterone receptor\w*|androgen receptor\w*|er(?=[\s/,+-]|$)|pr(?=[\s/,+-]|$)|
    microsatellite\w*|mutation\w*|mutated|mutant|wild-?type|amplif\w*|fusion|rearrang\w*|methylat\w*|codelet\w*|
    hormone receptor\w*|triple[\s-]negative|proliferation index|molecular\w*|genomic\w*|expression|expresses)\b"""
)
"""Names of markers and molecular results as they stand in running text."""

_SPELLING = (
    ("tumour", "tumor"), ("oesophag", "esophag"), ("haem", "hem"), ("oedema", "edema"), ("anaemi", "anemi"),
    ("ischaemi", "ischemi"), ("leukaemi", "leukemi"), ("necrotising", "necrotizing"), ("foetal", "fetal"),
)  # fmt: skip
_TO_BRITISH = tuple(
    (
        re.compile(
            rf"(?<!o){american}" if british.startswith("o") else rf"\b{american}" if british == "haem" else american
        ),
        british,
    )
    for british, american in _SPELLING
)


def canonical(text: str) -> str:
    """Lower case, British spelling, single spaces: the form in which terms are compared."""
    text = " ".join(text.lower().split())
    for pattern, british in _TO_BRITISH:
        text = pattern.sub(british, text)
    return text


def spelled(phrase: str) -> set[str]:
    """The phrase in British and American spelling."""
    british = american = canonical(phrase)
    for ours, theirs in _SPELLING:
        american = american.replace(ours, theirs)
    return {" ".join(phrase.lower().split()), british, american}


@lru_cache(maxsize=4096)
def surfaces(label: str) -> tuple[str, ...]:
    """Every lower-case phrase that says exactly what a class label says, longest first."""
    found = spelled(label)
    bare = label.lower().strip()
    names = {bare, canonical(label), bare.replace("h&e", "he")}
    for part in re.split(r"\s*/\s*", bare) if bare in ("brain/cns", "fallopian tube/adnexa") else ():
        names.add(part)
        found |= spelled(part)
    for name in names:
        for phrase in EXACT.get(name, ()):
            found |= spelled(phrase)
        if name == "benign tumour":
            found |= spelled("benign")
        if name in ("salivary", "esophagus"):
            found |= spelled({"salivary": "salivary gland", "esophagus": "oesophagus"}[name])
    if re.search(r"[a-z]\s*\(", bare):  # "tubular adenoma (colon)": the name alone says less, not more
        found |= spelled(re.sub(r"\s*\([^)]*\)", "", bare))
    found |= {phrase.replace("-", " ") for phrase in found}
    return tuple(sorted(found - {""}, key=lambda phrase: (-len(phrase), phrase)))


@lru_cache(maxsize=1)
def known_terms() -> frozenset[str]:
    """Single words that name an organ, a tissue, a stain, a category or a disease, in either spelling."""
    words = {word for names in ORGANS.values() for name in names for word in name.split()}
    words |= {word for name in (*CATEGORY_WORDS, *STAIN_WORDS, *TISSUE_WORDS) for word in name.split()}
    return frozenset(form for word in words for form in spelled(word)) - {"in", "situ", "and", "system", "central"}


def term_pattern(phrase: str) -> str:
    """A regular expression for a phrase: any white space or hyphen between words, an optional plural."""
    words = [re.escape(word) for word in re.split(r"[\s]+", phrase)]
    plural = "(?:s|es)?" if phrase[-1].isalpha() and not phrase.endswith("s") else ""
    return r"[\s-]+".join(words) + plural
