"""What a report on a specimen usually states and a picture alone does not give, per organ, in our own words."""

from __future__ import annotations

ALWAYS = (
    "Margins",
    "Lymphovascular invasion",
    "Perineural invasion",
    "Grade",
    "Stage",
    "Mitotic count",
    "Size and extent of the lesion",
    "Lymph nodes",
    "Immunophenotype",
    "Molecular results",
)
"""Fields of every specimen that nothing here assesses."""

BY_ORGAN: dict[str, tuple[str, ...]] = {
    "colon": ("Depth of invasion in the wall", "Mismatch repair status", "Tumour budding", "Tumour deposits"),
    "rectum": ("Depth of invasion in the wall", "Mismatch repair status", "Response to earlier treatment"),
    "stomach": ("Depth of invasion in the wall", "Helicobacter", "Atrophy and intestinal metaplasia by site"),
    "esophagus": ("Depth of invasion in the wall", "Goblet cells and dysplasia by level"),
    "breast": ("Hormone receptors and HER2", "In situ component", "Nipple and skin"),
    "prostate": ("Gleason patterns and grade group", "Extent in each core", "Spread beyond the prostate"),
    "lung": ("Pleural invasion", "Growth patterns by share", "Spread through air spaces", "Predictive markers"),
    "pleura": ("Invasion of fat or chest wall", "Loss of BAP1 or MTAP"),
    "skin": ("Thickness of a melanocytic lesion", "Ulceration", "Level in the dermis"),
    "kidney": ("Nuclear grade", "Necrosis and sarcomatoid change", "Spread to sinus, vein or fat"),
    "bladder": ("Detrusor muscle in the sample", "Depth of invasion", "In situ component"),
    "thyroid": ("Capsular and vascular invasion", "Spread beyond the thyroid"),
    "liver": ("Background liver and fibrosis", "Vascular invasion"),
    "small intestine": ("Depth of invasion in the wall", "Villi and intraepithelial lymphocytes"),
    "gallbladder": ("Depth of invasion in the wall", "Cystic duct margin"),
    "pancreas": ("Ducts and vessels at the margin", "Precursor lesion"),
    "ovary": ("Surface and capsule", "Implants elsewhere"),
    "endometrium": ("Depth in the myometrium", "Cervix involvement", "Molecular class"),
    "uterus": ("Depth in the myometrium", "Cervix involvement"),
    "cervix": ("Depth and width of invasion", "HPV association"),
    "brain/cns": ("Integrated molecular class", "Vascular proliferation and necrosis"),
    "lymph node": ("Clonality", "Architecture over the whole node", "Flow cytometry"),
    "head and neck": ("Depth of invasion", "HPV association"),
    "oral cavity": ("Depth of invasion", "Pattern of invasion"),
    "bone": ("Correlation with imaging", "Response to earlier treatment"),
    "soft tissue": ("Necrosis by share", "Correlation with imaging", "Rearrangements"),
}


def unassessed(organ: str | None) -> tuple[str, ...]:
    """The fields to list as not assessed; those of the organ follow the general ones."""
    return (*ALWAYS, *BY_ORGAN.get((organ or "").lower(), ()))
