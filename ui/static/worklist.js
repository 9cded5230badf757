// The worklist: the certificate with its n, the cases in reading order with their top fields, what is released.
import {el} from "./dom.js";
import {emit} from "./desk.js";

const STATUS = {"to read": "to read", audit: "audit: read", recalled: "recalled: read", released: "released", read: "signed out"};

export function mount({element, trigger, props, watch}) {
  const list = element.querySelector(".list");
  const opened = new Set(); // groups, forms and logs that a person has opened stay open
  const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
  const short = (hash) => String(hash).slice(0, 8);

  function keep(id, node) {
    node.open = opened.has(id);
    node.addEventListener("toggle", () => opened[node.open ? "add" : "delete"](id));
    return node;
  }

  function certificate(told) {
    const node = element.querySelector(".certificate");
    const order = element.querySelector(".order");
    node.hidden = !told;
    order.hidden = Boolean(told);
    order.textContent = "An order of reading: without a certificate nothing is released. One for sensitivity 0.90 at 95 % confidence needs at least 29 positive cases of this laboratory.";
    if (!told) return;
    node.classList.toggle("refused", Boolean(told.refused));
    node.querySelector("summary").replaceChildren(
      el("b", {}, told.refused ? "Nothing is released: " : "Released means: "), told.refused || told.statement);
    const {share, n, released, interval_95: [low, high]} = told.released;
    const rows = [
      ["Certified", told.statement],
      ["Positive patients", `${told.n_positives}, of them ${told.misses} below the threshold; exact lower bound ${told.sensitivity_bound.toFixed(4)}`],
      told.positives_never_released ? ["Never released", `${told.positives_never_released} positive patients with a slide without a score or an uncertain one`] : null,
      ["Released share", n ? `${released} of ${n} negative patients, ${percent(share)} (95 % interval ${percent(low)} to ${percent(high)})` : "no negative patients in the data"],
      ["Data", `${told.data.name} (${short(told.data.sha256)}), ${told.data.patients} patients, ${told.data.slides} slides, ${told.made}`],
      ["Score", `${told.scorer.name}; ${Object.entries(told.scorer.hashes).map(([name, hash]) => `${name} ${short(hash)}`).join(", ")}`],
      ["Audit", `${percent(told.audit.share)} of what is below the threshold is read; ${told.audit.words}`],
      ["Certificate", short(told.sha256)],
    ];
    node.querySelector("dl").replaceChildren(...rows.filter(Boolean).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]).flat());
  }

  function gallery(slide) {
    const url = ([x, y, w, h]) => new URL(`fields/${slide.key}/${x}_${y}_${w}_${h}.jpg`, document.baseURI).href;
    return slide.fields.map((box, place) => el("button", {type: "button", class: "field",
      "aria-label": `Field ${place + 1} of ${slide.name}`, title: `${slide.name}: field ${place + 1}`,
      onclick: () => emit("goto", {key: slide.key, box})}, el("img", {src: url(box), alt: "", loading: "lazy", draggable: "false"})));
  }

  function recall(item) {
    const id = `recall ${item.id}`;
    const reason = el("input", {type: "text", maxlength: 300, placeholder: "Why it should be read", "aria-label": "Reason"});
    const send = el("button", {type: "submit", disabled: true}, "Read it");
    reason.addEventListener("input", () => { send.disabled = !reason.value.trim(); });
    const form = el("form", {onsubmit: (event) => {
      event.preventDefault();
      opened.delete(id);
      trigger("recall", {case: item.id, reason: reason.value});
    }}, reason, send);
    return keep(id, el("details", {class: "recall"}, el("summary", {}, "Read anyway"), form));
  }

  function acts(item) {
    if (!props.shown.kept || item.status === "read" || item.id.startsWith("loose")) return null;
    if (item.status === "released") return el("div", {class: "acts"}, recall(item));
    const done = (positive, text) => el("button", {type: "button", onclick: () => trigger("signout", {case: item.id, positive})}, text);
    return el("div", {class: "acts"}, el("span", {}, "Read, and it was"), done(true, "positive"), done(false, "not positive"));
  }

  function row(item) {
    const names = item.slides.map((slide) => el("button", {type: "button", class: "name", onclick: () => emit("goto", {key: slide.key})}, slide.name));
    const score = item.score === null ? "no score" : item.score.toFixed(2);
    const fields = item.slides.flatMap(gallery).slice(0, 6);
    const log = item.log.length ? keep(`log ${item.id}`, el("details", {class: "log"}, el("summary", {}, `Log, ${item.log.length}`),
      el("ul", {}, item.log.map(({at, what, who, why}) => el("li", {}, `${at} · ${what} · ${who}${why ? ` · ${why}` : ""}`))))) : null;
    const whys = [item.reason, ...item.slides.map((slide) => slide.why)].filter((why, place, all) => why && all.indexOf(why) === place && !all.some((other, index) => index < place && other.includes(why)));
    return el("article", {class: "case", "data-case": item.id, "data-status": item.status},
      el("header", {}, el("span", {class: "names"}, names), el("span", {class: "status"}, STATUS[item.status]),
        el("span", {class: "score", title: "calibrated probability of a malignant or pre-malignant process"}, score)),
      fields.length ? el("div", {class: "gallery"}, fields) : null,
      el("p", {class: "why"}, whys.join(" · ")),
      acts(item), log);
  }

  function group(name, title, items) {
    if (!items.length) return null;
    return keep(name, el("details", {class: `group ${name}`}, el("summary", {}, `${title}: ${items.length}`), items.map(row)));
  }

  let drawn = null;
  function render() {
    const text = JSON.stringify(props.shown || {});
    if (text === drawn) return; // opening a slide sends the same list again: what is half typed stays
    drawn = text;
    const {cases = [], certificate: told = null, complaint = "", unranked = 0} = props.shown || {};
    const line = element.querySelector(".complaint");
    line.textContent = complaint;
    line.hidden = !complaint;
    certificate(cases.length || told ? told : null);
    if (!cases.length && !told) element.querySelector(".order").hidden = true;
    const by = (...states) => cases.filter((item) => states.includes(item.status));
    list.replaceChildren(...[
      ...by("to read", "audit", "recalled").map(row),
      group("released", "Released, below the threshold", by("released")),
      group("done", "Signed out", by("read")),
      cases.length && unranked > 0 ? el("p", {class: "unranked"}, `${unranked} open ${unranked === 1 ? "slide is" : "slides are"} not ranked yet.`) : null,
    ].filter(Boolean));
  }

  watch("shown", render);
  render();
}
