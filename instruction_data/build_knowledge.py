"""Makes the shipped knowledge tables from the gathered facts.

    python -m instruction_data.build_knowledge recipes/knowledge.toml --data DIR

DIR is the data folder; the recipe names the subfolder. Same input, same bytes out.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slides import UsageError
from slides.files import write_atomically

from .knowledge.base import load_knowledge
from .knowledge.checks import card, problems
from .knowledge.pooling import Count, Spread, pool, spread_of_all

Row = dict[str, str]
TABLES_FOLDER = Path(__file__).parent / "knowledge"


def build(recipe: Mapping[str, Any], data: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table, in order; raises `UsageError` when the data are not where the recipe says."""
    folder = data / recipe["input"]["folder"]
    raw = {
        name: _read(folder / f"{name}.csv")
        for name in ("entities", "markers", "marker_rates", "marker_beliefs", "ancillary_rules", "oncotree")
    }
    raw["entities"] += [_own_entity(id, said, raw["oncotree"]) for id, said in recipe["entity"].items()]
    _known_ids(recipe, {row["id"] for row in raw["entities"]}, {row["id"] for row in raw["markers"]})
    entities = _entities(raw["entities"], raw["oncotree"], recipe)
    rates = _rates(raw["marker_rates"], raw["marker_beliefs"], recipe)
    return {
        "entities": entities,
        "markers": _markers(raw["markers"], recipe),
        "sources": _sources(raw["marker_rates"]),
        "rates": rates,
        "lineages": _lineages(entities, recipe),
        "rules": _rules(raw["ancillary_rules"], _sources(raw["marker_rates"]), recipe),
    }


def _known_ids(recipe: Mapping[str, Any], entities: set[str], markers: set[str]) -> None:
    """Raises `UsageError` when the recipe speaks of an entity or a marker that the data do not hold."""
    lineages, rules, statements = recipe["lineage"].values(), recipe["rules"].values(), recipe["statements"]
    spoken_entities = {
        *recipe["names"],
        *recipe["synonyms"]["entity"],
        *statements,
        *(id for pair in (recipe["kin"], recipe["metastasis"]) for owner, ids in pair.items() for id in (owner, *ids)),
        *(id for line in lineages for name in ("ids", "not") for id in line.get(name, ())),
        *(id for rule in rules for id in rule.get("entities", ())),
    }
    spoken_markers = {
        *recipe["synonyms"]["marker"],
        *recipe["cost"]["everyday"],
        *recipe["marker_names"],
        *(id for table in ("results", "groups") for ids in recipe[table].values() for id in ids),
        *(id for line in (*lineages, *statements.values()) for says in SAYS for id in line.get(says, ())),
        *(id for rule in rules for id in rule.get("markers", ())),
    }
    unknown = sorted(spoken_entities - entities) + sorted(spoken_markers - markers)
    if unknown:
        raise UsageError(f"the recipe names what the data do not hold: {', '.join(unknown)}")


def write(tables: Mapping[str, Iterable[dict[str, Any]]], folder: Path = TABLES_FOLDER) -> None:
    """One JSON object a line; each file is replaced in one step."""
    for name, rows in tables.items():
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        write_atomically(folder / f"{name}.jsonl", text)


def _read(path: Path) -> list[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except OSError:
        raise UsageError(f"no table {path.name} in the data folder: give --data the folder that holds it") from None


def _list(text: str, sign: str = ";") -> list[str]:
    return [part.strip() for part in text.split(sign) if part.strip()]


def _own_entity(id: str, said: Mapping[str, Any], oncotree: Sequence[Row]) -> Row:
    """A diagnosis of the recipe in the shape of the data's."""
    return {
        "id": id,
        "name": said["name"],
        "organ": said["organ"],
        "category": said["category"],
        "keywords": ", ".join(said["keywords"]),
        "lookalikes": ";".join(said["lookalikes"]),
        "pitfalls": said["pitfalls"],
        "class": "tumour",
        "oncotree": id if any(row["code"] == id for row in oncotree) else "",
    }


def _entities(rows: Sequence[Row], oncotree: Sequence[Row], recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    ids = {row["id"] for row in rows}
    groups = {row["id"] for row in rows if row["class"] == "group label"}
    tree = {row["code"]: row for row in oncotree}
    barred = {tuple(pair.split("<")) for pair in recipe["kin_not"]["pairs"]}
    synonyms = recipe["synonyms"]["entity"]
    out = []
    for row in rows:
        id, code = row["id"], row["oncotree"] or None
        kin = list(recipe["kin"].get(id, ())) + list(recipe["entity"].get(id, {}).get("kin", ()))
        parent = tree[code]["parent"] if code else ""
        if parent in ids and (id, parent) not in barred and parent not in kin:
            kin.append(parent)
        names = list(synonyms.get(id, ()))
        # OncoTree's own name, where it is another than ours (CC BY 4.0).
        if code and tree[code]["name"].lower() not in {name.lower() for name in (row["name"], *names)}:
            names.append(tree[code]["name"])
        out.append(
            {
                "id": id,
                "name": recipe["names"].get(id, row["name"]),
                "organ": row["organ"],
                "category": row["category"],
                "kind": row["class"],
                "keywords": [] if id in groups else _list(row["keywords"], ","),
                "lookalikes": _list(row["lookalikes"]),
                "pitfalls": row["pitfalls"],
                "oncotree": code,
                "synonyms": names,
                "kin": kin,
                "metastases": list(recipe["metastasis"].get(id, ())),
            }
        )
    return out


def _markers(rows: Sequence[Row], recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    read_for = {marker: result for result, markers in recipe["results"].items() for marker in markers}
    synonyms, weight = recipe["synonyms"]["marker"], recipe["cost"]["weight"]
    factor, everyday = recipe["cost"]["everyday_factor"], frozenset(recipe["cost"]["everyday"])
    return [
        {
            "id": row["id"],
            "name": recipe["marker_names"].get(row["id"], row["name"]),
            "kind": row["kind"],
            "shows": row["shows"],
            "compartment": row["compartment"],
            "control": row["positive_control"],
            "pitfalls": row["pitfalls"],
            "prerequisites": row["prerequisites"],
            "cost": int(row["cost_class"]),
            "weight": round(weight[int(row["cost_class"]) - 1] * (factor if row["id"] in everyday else 1.0), 4),
            "result": read_for.get(row["id"], "positive"),
            "groups": [name for name, members in recipe["groups"].items() if row["id"] in members],
            "synonyms": list(synonyms.get(row["id"], ())),
        }
        for row in rows
    ]


def _sources(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(
            row["source_id"],
            {
                "id": row["source_id"],
                "author": "" if row["first_author"] == "not shown" else row["first_author"],
                "journal": row["journal"],
                "year": "" if row["year"] == "n.d." else row["year"],
                "identifier": row["identifier"],
                "access": row["access"],
            },
        )
    return [found[id] for id in sorted(found)]


def _rates(rates: Sequence[Row], beliefs: Sequence[Row], recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    settings = recipe["pooling"]
    cells: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rates:
        result = recipe["same_result"].get(row["result_counted"], row["result_counted"])
        cells[row["entity"], row["marker"], result].append(row)
    counts = {key: [_count(row, settings) for row in rows] for key, rows in cells.items()}
    spread = spread_of_all(counts.values(), settings["spread_prior_studies"])
    out = [_cell(key, rows, counts[key], spread) for key, rows in cells.items()]
    read_for = {marker: result for result, markers in recipe["results"].items() for marker in markers}
    out.extend(_belief(row, read_for.get(row["marker"], "positive"), settings) for row in beliefs)
    out.extend(_statements(out, recipe, read_for))
    return sorted(out, key=lambda row: (row["entity"], row["marker"], row["result"]))


def _cell(key: tuple[str, str, str], rows: Sequence[Row], counts: Sequence[Count], spread: Spread) -> dict[str, Any]:
    alpha, beta = pool(counts, spread)
    limits = [edge for count in counts for edge in count.limits]
    return {
        "entity": key[0],
        "marker": key[1],
        "result": key[2],
        "alpha": round(alpha, 3),
        "beta": round(beta, 3),
        "positive": sum(int(row["positive_n"] or 0) for row in rows),
        "total": sum(int(row["total_n"] or 0) for row in rows if row["positive_n"]),
        "low": round(min(limits), 1),
        "high": round(max(limits), 1),
        "studies": [_study(row, count) for row, count in zip(rows, counts, strict=True)],
    }


def _study(row: Row, count: Count) -> dict[str, Any]:
    counted = bool(row["positive_n"])
    return {
        "source": row["source_id"],
        "percent": float(row["percent"]) if row["percent"] else None,
        "limits": list(count.limits),
        "positive": int(row["positive_n"]) if counted else None,
        "total": int(row["total_n"]) if counted else None,
        "specimen": row["specimen_method"],
        "reading": row["how_read"].split(" (")[0],
    }


def _count(row: Row, settings: Mapping[str, Any]) -> Count:
    if row["positive_n"]:
        positive, total = int(row["positive_n"]), int(row["total_n"])
        share = 100.0 * positive / total
        return Count(positive / total, float(total), (share, share), counted=True)
    if row["percent"]:
        percent = float(row["percent"])
        return Count(percent / 100.0, settings["percent_only_cases"], (percent, percent))
    low, high = (float(edge) for edge in row["percent_range"].split("-"))
    return Count((low + high) / 200.0, settings["range_only_cases"], (low, high))


def _belief(row: Row, result: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    typical = row["typical"]
    if row["reading"].startswith("reads staining, not loss"):
        typical = {"mostly negative": "mostly positive", "mostly positive": "mostly negative"}.get(typical, typical)
    return _believed(row["entity"], row["marker"], result, typical, settings)


def _believed(entity: str, marker: str, result: str, typical: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    share, cases = settings["belief_share"][typical], settings["belief_cases"]
    # "mostly positive" said of loss or of a pattern means: shown by most.
    said = typical if result == "positive" else typical.replace("positive", "yes").replace("negative", "no")
    return {
        "entity": entity,
        "marker": marker,
        "result": result,
        "alpha": round(0.5 + share * cases, 3),
        "beta": round(0.5 + (1.0 - share) * cases, 3),
        "belief": said,
    }


SAYS = {
    "positive": "mostly positive",
    "shown": "mostly positive",
    "variable": "variable",
    "negative": "mostly negative",
    "not shown": "mostly negative",
}


def _statements(
    cells: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], read_for: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The recipe's own statements; nothing where a figure or a belief of the same result stands already."""
    held = {(cell["entity"], cell["marker"], cell["result"]) for cell in cells}
    out = []
    for id, line in recipe["statements"].items():
        for says, typical in SAYS.items():
            for marker in line.get(says, ()):
                result = read_for.get(marker, "positive")
                if (id, marker, result) not in held:
                    held.add((id, marker, result))
                    out.append(_believed(id, marker, result, typical, recipe["pooling"]))
    return out


def _lineages(entities: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What holds for many diagnoses at once, as beliefs of last resort."""
    settings = recipe["pooling"]
    return [
        {
            "name": name,
            "entities": [e["id"] for e in entities if e["kind"] != "group label" and _belongs(e, line)],
            "beliefs": [
                {
                    "says": typical,
                    "alpha": round(0.5 + settings["belief_share"][typical] * settings["belief_cases"], 3),
                    "beta": round(0.5 + (1 - settings["belief_share"][typical]) * settings["belief_cases"], 3),
                    "markers": sorted(line[says]),
                }
                for says, typical in SAYS.items()
                if says in line
            ],
        }
        for name, line in recipe["lineage"].items()
    ]


def _belongs(entity: Mapping[str, Any], lineage: Mapping[str, Any]) -> bool:
    if entity["id"] in lineage.get("not", ()):
        return False
    words = set(entity["name"].lower().replace("-", " ").split())
    return (
        entity["id"] in lineage.get("ids", ())
        or entity["category"] in lineage.get("categories", ())
        or any(word in words or (len(word) > 6 and word in entity["name"].lower()) for word in lineage.get("has", ()))
    )


def _rules(
    rows: Sequence[Row], sources: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any]
) -> list[dict[str, Any]]:
    # The data name their sources by id and their own table by file name: a reader needs the publication.
    identifiers = {source["id"]: source["identifier"] for source in sources}
    out = []
    for row in rows:
        scope = recipe["rules"].get(row["id"], {})
        out.append(
            {
                "id": row["id"],
                "kind": scope.get("kind", "care"),
                "when": row["when"],
                "tests": [test for test in _list(row["tests"]) if test != "none"],
                "then": row["then"],
                "source": re.sub(
                    r"\w+",
                    lambda word: identifiers.get(word.group(), word.group()),
                    row["source"]
                    .replace("rows of marker_rates", "")
                    .replace("see marker_rates", "counted")
                    .replace("marker_rates", "figures of these tables"),
                ),
                "checked": row["checked"],
                "entities": list(scope.get("entities", ())),
                "markers": list(scope.get("markers", ())),
                "words": list(scope.get("words", ())),
                "together": bool(scope.get("both", False)),
                "all_entities": bool(scope.get("all", False)),
            }
        )
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, checks and writes the tables and their data card; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m instruction_data.build_knowledge", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the recipe's input folder")
    parser.add_argument("--card", type=Path, help="the data card to write, Markdown")
    options = parser.parse_args(arguments)
    try:
        with options.recipe.open("rb") as file:
            tables = build(tomllib.load(file), options.data)
    except (UsageError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    write(tables)
    print(", ".join(f"{name} {len(list(rows))}" for name, rows in tables.items()))  # noqa: T201
    knowledge = load_knowledge()
    broken = problems(knowledge)
    for line in broken:
        print(line, file=sys.stderr)  # noqa: T201
    if options.card:
        write_atomically(options.card, card(knowledge))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
