// Questions and answers about the slide in view. Sentences end in the letters of the places they rest on.
import {el} from "./dom.js";
import {colourOf, desk, emit, on, pick} from "./desk.js";
import {figures, struck} from "./figures.js";

const QUESTIONS = ["What is this?", "Is there anything malignant here?", "How dense are the nuclei, and how large?"];

export function mount({element, trigger, props, watch}) {
  const log = element.querySelector(".log");
  const spoken = element.querySelector(".spoken");
  const nodes = new Map(); // by number: {node, text, open}
  let shownSlide = null, focus = null, heard = 0;

  function letter(name) {
    const button = el("button", {type: "button", class: "letter", "data-letter": name,
      "aria-label": name === "slide" ? "Rests on the whole slide" : `Show ${name} on the slide`}, name);
    if (name !== "slide") button.style.setProperty("--mark", colourOf(name));
    return button;
  }

  function sentence({text, status, letters, sources}) {
    const title = status === "knowledge" ? sources.join("\n") : status === "asked" ? "repeats your words" : null;
    const cut = text.lastIndexOf(" ") + 1; // letters stay on the line of the last word
    return el("span", {class: `sentence ${status}`, "data-letters": letters.join(" "), title}, text.slice(0, cut),
      el("span", {class: "end"}, text.slice(cut), letters.length ? el("span", {class: "letters"}, letters.map(letter)) : null,
        status === "knowledge" && sources.length ? el("sup", {class: "cited"}, "ref") : null), " ");
  }

  function progress({what, done, total}) {
    const doing = what ? what[0].toUpperCase() + what.slice(1) : "Starting";
    const line = total ? `${doing} · ${done} of ${total}` : doing;
    return el("div", {class: "progress"}, el("span", {}, line),
      el("progress", total ? {max: total, value: done} : {}));
  }

  function about({regions, context}) {
    const where = regions.length === 0 ? "about the whole slide" : regions.length === 1 ? "about the box" : `about ${regions.length} boxes`;
    return el("p", {class: "about"}, context ? `${where} · ${context}` : where);
  }

  function references(exchange) {
    const cited = [...new Set(exchange.sentences.filter((said) => said.status === "knowledge").flatMap((said) => said.sources))];
    if (!cited.length || !exchange.over) return null;
    return el("details", {class: "references"}, el("summary", {}, `${cited.length} ${cited.length === 1 ? "reference" : "references"}`),
      el("ul", {}, cited.map((source) => el("li", {}, source))));
  }

  function answer(exchange) {
    const waiting = !exchange.over && !exchange.sentences.length && !exchange.saying;
    return el("div", {class: "answer"},
      waiting ? progress(exchange.progress) : null,
      el("p", {class: "text"}, exchange.sentences.map(sentence),
        exchange.over || waiting ? null
          : el("span", {class: "sentence saying"}, exchange.saying, el("span", {class: "caret", "aria-hidden": "true"}))),
      exchange.stopped ? el("p", {class: "note"}, "Stopped.") : null,
      exchange.error ? el("p", {class: "failure", role: "alert"}, exchange.error) : null,
      exchange.over ? figures(exchange, letter) : null,
      references(exchange),
      exchange.over ? struck(exchange) : null,
      exchange.over ? el("div", {class: "foot"}, copy(exchange), ...judging(exchange)) : null);
  }

  // What a person thinks of the answer; the server keeps it on this machine.
  function judging(exchange) {
    if (!props.votes || exchange.error || exchange.stopped || !exchange.sentences.length) return [];
    const say = (useful, text) => el("button", {type: "button", class: "judge", "aria-pressed": String(exchange.vote === (useful ? "up" : "down")),
      onclick: () => trigger("vote", {slide: exchange.slide, number: exchange.number, useful})}, text);
    const told = all().some((other) => other.again === exchange.number);
    const otherwise = el("button", {type: "button", class: "judge",
      onclick: () => trigger("again", {slide: exchange.slide, number: exchange.number})}, "Say it differently");
    const words = (one) => one?.sentences.map((said) => said.text).join(" ");
    if (exchange.again !== null && words(exchange) === words(all().find((one) => one.number === exchange.again)))
      return [el("p", {class: "note"}, "There is no other wording of these findings.")];
    return exchange.again === null
      ? [say(true, "Useful"), say(false, "Not useful"), told ? null : otherwise]
      : [say(true, "Better than before"), say(false, "Worse")];
  }

  function article(exchange) {
    const node = el("article", {class: "exchange", "data-number": exchange.number},
      el("p", {class: "question"}, exchange.question),
      exchange.again === null ? about(exchange) : el("p", {class: "about"}, "the same findings in other words"), answer(exchange));
    node.addEventListener("click", (event) => {
      const button = event.target.closest(".letter");
      if (!button) return;
      attend(exchange.number);
      pick(button.dataset.letter, "answer");
    });
    return node;
  }

  // For a report or a letter; what is copied says where it comes from.
  function copy(exchange) {
    const text = exchange.sentences.map((said) => said.text).join(" ");
    const button = el("button", {type: "button", class: "copy"}, "Copy");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(`${text}\n(pathcopilot, machine-made; for research and teaching, not for diagnosis)`);
      button.textContent = "Copied";
    });
    return text ? button : null;
  }

  // The answer in focus is the one whose boxes are on the slide: the latest, or the one clicked into.
  function attend(number) {
    focus = number;
    const exchange = all().find((candidate) => candidate.number === number);
    desk.places = exchange ? exchange.places : [];
    emit("places");
    nodes.forEach(({node}, key) => node.classList.toggle("attended", key === number && nodes.size > 1));
  }

  const all = () => {
    const turns = props.turns && props.turns.slide === shownSlide ? props.turns.items : [];
    const live = props.live && props.live.slide === shownSlide ? [props.live] : [];
    return [...turns.filter((turn) => !live.some((run) => run.number === turn.number)), ...live];
  };

  function speak(exchange) {
    if (!exchange || exchange.sentences.length === heard) return;
    spoken.textContent = exchange.sentences.slice(heard).map((said) => said.text).join(" ");
    heard = exchange.sentences.length;
  }

  function render() {
    const exchanges = all();
    const last = exchanges.at(-1);
    const fresh = last && !nodes.has(last.number);
    for (const exchange of exchanges) {
      const text = JSON.stringify([exchange, props.votes, exchanges.some((other) => other.again === exchange.number)]);
      const known = nodes.get(exchange.number);
      if (known?.text === text) continue;
      const node = article(exchange);
      if (known) known.node.replaceWith(node); else log.append(node);
      nodes.set(exchange.number, {node, text, places: JSON.stringify(exchange.places)});
    }
    element.querySelector(".empty").hidden = exchanges.length > 0 || !desk.slide || Boolean(desk.slide.error);
    element.querySelector(".earlier").hidden = !(props.turns?.slide === shownSlide && props.turns.earlier);
    if (fresh) heard = 0;
    if (last && !last.over) speak(last);
    const places = JSON.stringify(last?.places || []);
    if (last && (fresh || (focus === last.number && places !== JSON.stringify(desk.places)))) attend(last.number);
    desk.answering = Boolean(last && !last.over);
    document.body.toggleAttribute("data-answering", desk.answering);
    // An answer is read from its first line: the question goes to the top, and what streams in does not push it.
    if (fresh) log.scrollTop = nodes.get(last.number).node.offsetTop - log.offsetTop;
  }

  // What a question would be about, before it is asked.
  function scope(regions) {
    const size = ([, , w, h]) => {
      const mpp = desk.slide?.mpp;
      return mpp ? `${lengthOf(w * mpp)} × ${lengthOf(h * mpp)}` : `${w} × ${h} px`;
    };
    element.querySelector(".scope").textContent = !desk.slide || desk.slide.error ? ""
      : regions.length === 0 ? "A question is about the whole slide."
        : regions.length === 1 ? `A question is about the box, ${size(regions[0])}; Esc drops it.`
          : `A question is about ${regions.length} boxes; Esc drops them.`;
  }
  const lengthOf = (microns) => (microns >= 1000 ? `${(microns / 1000).toPrecision(3)} mm` : `${Math.round(microns)} µm`);

  function clear() {
    nodes.clear();
    log.replaceChildren();
    spoken.textContent = "";
    focus = null;
    desk.places = [];
    desk.answering = false;
    document.body.removeAttribute("data-answering");
    emit("places");
  }

  on("regions", scope);
  on("leave", () => { shownSlide = null; clear(); render(); });
  on("slide", (slide) => {
    if (slide?.key !== shownSlide) { shownSlide = slide?.key ?? null; clear(); }
    render();
  });
  on("pick", ({letter: name, from}) => {
    const node = nodes.get(focus)?.node;
    if (!node) return;
    let first = null;
    node.querySelectorAll(".sentence").forEach((span) => {
      const named = (span.dataset.letters || "").split(" ").includes(name);
      span.classList.toggle("picked", named);
      if (named && !first) first = span;
    });
    if (first && from !== "answer") first.scrollIntoView({block: "nearest", behavior: "smooth"});
  });

  element.querySelector(".examples").append(...QUESTIONS.map((question) => el("button",
    {type: "button", onclick: () => trigger("example", {text: question})}, question)));
  watch(["turns", "live", "votes"], render);
  const ready = () => { element.querySelector(".loading").hidden = props.ready; };
  watch("ready", ready);
  ready();
  if (desk.slide) { // the viewer came first
    shownSlide = desk.slide.key;
    scope(desk.regions);
  }
  render();
}
