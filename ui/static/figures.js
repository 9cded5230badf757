// The figures under an answer: one line that opens into a table, and what the checker struck.
import {el} from "./dom.js";

const two = (number) => number.toFixed(2);

export function amount({value, unit, interval}) {
  if (value === null) return "";
  const scale = unit === "share" ? 100 : 1;
  const round = (number) => Number((number * scale).toPrecision(3)).toLocaleString("en", {maximumFractionDigits: 3});
  const range = interval ? ` (${round(interval[0])}–${round(interval[1])})` : "";
  return `${round(value)}${unit === "share" ? " %" : unit && unit !== "ratio" ? ` ${unit}` : ""}${range}`;
}

const TELLING = ["disease", "category", "tissue ", "organ", "stain"]; // what the line names, most telling first

// "adenocarcinoma 0.91 · set {adenocarcinoma, adenoma} · novelty p 0.42 · 14 of 212 fields seen"
export function line(exchange) {
  const stands = exchange.figures.filter((row) => row.probability !== null && row.label && !row.abstained);
  const lead = TELLING.map((name) => stands.find((row) => row.name.startsWith(name))).find(Boolean) ?? stands[0];
  const novel = exchange.figures.find((row) => row.novelty !== null);
  const {done, total} = exchange.progress;
  return [
    lead ? `${lead.label} ${two(lead.probability)}` : null,
    lead?.set.length ? `set {${lead.set.join(", ")}}` : null,
    novel ? `novelty p ${two(novel.novelty)}` : null,
    total ? `${done} of ${total} fields seen` : null,
  ].filter(Boolean).join(" · ") || `${exchange.figures.length} measurements`;
}

export function figures(exchange, letter) {
  if (!exchange.figures.length) return null;
  const head = ["", "finding", "result", "p", "90 % set", "novelty p"];
  const numeric = new Set([3, 5]);
  const row = (figure) => {
    const result = figure.abstained ? "not stated" : figure.label ?? amount(figure);
    const cells = [
      el("span", {}, figure.letters.map(letter)), figure.name, result,
      figure.probability === null ? "" : two(figure.probability), figure.set.join(", "),
      figure.novelty === null ? "" : two(figure.novelty),
    ];
    const about = [figure.abstained ? figure.reason : null, figure.scope, figure.source].filter(Boolean).join(" · ");
    return el("tr", {title: about, class: figure.abstained ? "abstained" : null},
      cells.map((cell, index) => el("td", {class: numeric.has(index) ? "number" : null}, cell)));
  };
  const {seconds, model} = exchange;
  const made = [
    seconds ? `first word ${seconds.first} s, in all ${seconds.total} s` : null,
    model ? `${model.language}, ${model.encoder}` : null,
  ].filter(Boolean).join(" · ");
  return el("details", {class: "figures"}, el("summary", {}, line(exchange)),
    el("div", {class: "scroll"}, el("table", {},
      el("thead", {}, el("tr", {}, head.map((title, index) => el("th", {scope: "col", class: numeric.has(index) ? "number" : null}, title)))),
      el("tbody", {}, exchange.figures.map(row)))),
    exchange.notes.map((note) => el("p", {class: "note"}, note)),
    made ? el("p", {class: "note"}, made) : null);
}

export function struck(exchange) {
  const count = exchange.struck.length;
  if (!count) return null;
  return el("details", {class: "struck"}, el("summary", {}, `${count} ${count === 1 ? "sentence" : "sentences"} struck by the checker`),
    el("ul", {}, exchange.struck.map(({text, reason}) => el("li", {}, el("s", {}, text), reason ? ` ${reason}` : ""))));
}
