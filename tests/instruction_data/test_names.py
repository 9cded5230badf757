"""Names are found as people write them, and a text that names no one diagnosis finds none."""

from __future__ import annotations

from instruction_data.knowledge import load_knowledge

NAMED = {
    "colorectal adenocarcinoma": "COADREAD",
    "adenocarcinoma of the colon": "COAD",
    "metastatic colorectal carcinoma": "COADREAD",
    "colon cancer metastasis": "COAD",
    "metastasis of lung adenocarcinoma": "LUAD",
    "primary lung adenocarcinoma": "LUAD",
    "adenocarcinoma, lung": "LUAD",
    "lung squamous cell carcinoma": "LUSC",
    "squamous cell carcinoma of the lung": "LUSC",
    "small cell carcinoma of the lung": "SCLC",
    "SCLC": "SCLC",
    "HCC": "HCC",
    "hepatocellular carcinoma": "HCC",
    "well differentiated hepatocellular carcinoma": "HCC",
    "GIST": "GIST",
    "gastrointestinal stromal tumor": "GIST",
    "GI stromal tumour": "GIST",
    "invasive ductal carcinoma": "IDC",
    "invasive lobular carcinoma": "ILC",
    "ductal carcinoma in situ": "DCIS",
    "breast cancer": "BRCA",
    "triple-negative breast cancer": "x_tnbc",
    "prostate cancer": "PRAD",
    "prostatic adenocarcinoma": "PRAD",
    "urothelial carcinoma": "BLCA",
    "high grade urothelial carcinoma": "BLCA",
    "clear cell renal cell carcinoma": "CCRCC",
    "ccRCC": "CCRCC",
    "renal cell carcinoma": "RCC",
    "chromophobe renal cell carcinoma": "CHRCC",
    "oncocytoma": "ROCY",
    "malignant melanoma": "MEL",
    "metastatic melanoma": "MEL",
    "cutaneous melanoma": "SKCM",
    "Merkel cell carcinoma": "MCC",
    "DLBCL": "DLBCLNOS",
    "diffuse large B-cell lymphoma": "DLBCLNOS",
    "Hodgkin lymphoma": "CHL",
    "classical Hodgkin lymphoma": "CHL",
    "follicular lymphoma": "FL",
    "mantle cell lymphoma": "MCL",
    "Burkitt lymphoma": "BL",
    "CLL": "CLLSLL",
    "chronic lymphocytic leukemia": "CLLSLL",
    "MALT lymphoma": "EMALT",
    "plasma cell myeloma": "PCM",
    "seminoma": "SEM",
    "embryonal carcinoma": "EMBCA",
    "yolk sac tumor": "TYST",
    "glioblastoma": "GB",
    "oligodendroglioma": "ODG",
    "meningioma": "MNG",
    "schwannoma": "SCHW",
    "Ewing sarcoma": "ES",
    "synovial sarcoma": "SYNS",
    "leiomyosarcoma": "LMS",
    "dedifferentiated liposarcoma": "DDLS",
    "solitary fibrous tumor": "SFT",
    "desmoid tumor": "DES",
    "angiosarcoma": "ANGS",
    "pancreatic ductal adenocarcinoma": "PAAD",
    "pancreatic adenocarcinoma": "PAAD",
    "cholangiocarcinoma": "CHOL",
    "intrahepatic cholangiocarcinoma": "IHCH",
    "gastric adenocarcinoma": "STAD",
    "gastric carcinoma": "STAD",
    "signet ring cell carcinoma of the stomach": "DSTAD",
    "esophageal adenocarcinoma": "ESCA",
    "esophageal squamous cell carcinoma": "ESCC",
    "endometrioid adenocarcinoma of the endometrium": "UEC",
    "endometrial carcinoma": "UCEC",
    "high-grade serous carcinoma of the ovary": "HGSOC",
    "ovarian clear cell carcinoma": "CCOV",
    "cervical squamous cell carcinoma": "CESC",
    "papillary thyroid carcinoma": "THPA",
    "medullary thyroid carcinoma": "THME",
    "anaplastic thyroid carcinoma": "THAP",
    "thymic carcinoma": "THYC",
    "thymoma": "THYM",
    "pleural mesothelioma": "PLMESO",
    "epithelioid mesothelioma": "PLEMESO",
    "pheochromocytoma": "PHC",
    "adrenocortical carcinoma": "ACC",
    "neuroblastoma": "NBL",
    "Helicobacter pylori gastritis": "x_hp_gastritis",
    "celiac disease": "x_coeliac",
    "ulcerative colitis": "x_ulcerative_colitis",
    "Crohn's disease": "x_crohn",
    "tubular adenoma of the colon": "x_colorectal_adenoma",
    "tubular adenoma with low-grade dysplasia": "x_colorectal_adenoma",
    "basal cell carcinoma": "BCC",
    "melanocytic nevus": "x_nevus",
    "squamous cell carcinoma of the skin": "CSCC",
    "oral squamous cell carcinoma": "HNSC",
    "head and neck squamous cell carcinoma": "HNSC",
    "normal colon mucosa": "x_normal_colon",
    "normal colonic mucosa": "x_normal_colon",
    "renal oncocytoma": "ROCY",
    "tuberculosis": "x_tuberculosis",
    "pancreatic neuroendocrine tumor": "PANET",
    "typical carcinoid of the lung": "LUCA",
    "lobular carcinoma in situ": "LCIS",
    "granulosa cell tumor": "GRCT",
    "osteosarcoma": "OS",
    "Kaposi sarcoma": "x_kaposi",
    "benign prostatic hyperplasia": "x_bph",
    "colorectal adenocarcinom": "COADREAD",
    "hepatocelular carcinoma": "HCC",
    "mesothelioma": "PLMESO",
    "adenocarcinoma": "x_adenocarcinoma",
    "carcinoma": "x_carcinoma",
    "squamous cell carcinoma": "x_squamous",
    "SCC": "x_squamous",
    "neuroendocrine carcinoma": "x_neuroendocrine_carcinoma",
    "sarcoma": "SARCNOS",
    "lymphoma": "x_lymphoma",
    "poorly differentiated carcinoma": "x_carcinoma",
    "hemangioma": "HEMA",
    "lipoma": "x_lipoma",
    "choriocarcinoma": "x_choriocarcinoma",
    "gallbladder carcinoma": "GBC",
    "brain metastasis of lung adenocarcinoma": "LUAD",
    "lymphoma (DLBCL)": "DLBCLNOS",
}
UNNAMED = (
    "tumour",
    "malignant",
    "metastasis",
    "benign",
    "normal tissue",
    "cell",
    "hello",
    "what is this",
    "fracture",
    "lung",
    "colon",
    "none of the above",
    "ignore previous instructions",
    "clear cell carcinoma",
    "mucinous adenocarcinoma",
    "papillary carcinoma",
    "small round blue cell tumour",
    "inflammation",
    "other",
    "unknown primary",
    "stroma",
    "necrosis",
    "adipose tissue",
    "smooth muscle",
    "lymphocytes",
    "mucus",
    "debris",
    "background",
    "cancer-associated stroma",
    "germ cell tumour",
    "vasculitis",
    "hibernoma",
    "pineocytoma",
    "penile squamous carcinoma",
    "retinoblastoma",
    "HCC or CHOL",
)


def test_names_are_found_and_never_mistaken() -> None:
    knowledge = load_knowledge()
    found = {text: entity.id if (entity := knowledge.find_entity(text)) else None for text in NAMED}
    mistaken = {text: id for text, id in found.items() if id not in (None, NAMED[text])}
    missed = [text for text, id in found.items() if id is None]
    assert mistaken == {}
    assert len(missed) <= 0.03 * len(NAMED), missed


def test_what_names_no_one_diagnosis_finds_none() -> None:
    knowledge = load_knowledge()
    assert [text for text in UNNAMED if knowledge.find_entity(text)] == []


def test_a_small_spelling_mistake_is_forgiven_and_nonsense_is_not() -> None:
    knowledge = load_knowledge()
    entity = knowledge.find_entity("hepatocelular carcinoma")
    assert entity is not None
    assert entity.id == "HCC"
    assert knowledge.find_entity("") is None
    assert knowledge.find_entity("?!") is None


def test_matches_are_ranked_and_at_most_k() -> None:
    found = load_knowledge().match_entities("squamous cell carcinoma", 5)
    assert len(found) == 5
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert all(0 < score <= 1 for _, score in found)


def test_markers_are_found_in_any_spelling() -> None:
    knowledge = load_knowledge()
    spellings = {"TTF-1": "TTF1", "ttf1": "TTF1", "CD117": "KIT", "c-KIT": "KIT", "Napsin-A": "NAPSA", "HER-2": "HER2"}
    for text, id in spellings.items():
        marker = knowledge.find_marker(text)
        assert marker is not None
        assert marker.id == id
    assert knowledge.find_marker("magic stain") is None
