// The fields the answer in focus rests on, as a row of thumbnails; a click flies there.
import {el} from "./dom.js";
import {colourOf, desk, on, pick} from "./desk.js";

export function mountFilmstrip(node) {
  const url = ([x, y, w, h]) => new URL(`fields/${desk.slide.key}/${x}_${y}_${w}_${h}.jpg`, document.baseURI).href;
  const frames = new Map(); // by letter and box: a thumbnail that stays is not asked for again

  function frame({letter, box, name}) {
    const key = `${desk.slide.key} ${letter} ${box}`;
    if (!frames.has(key)) {
      const image = el("img", {src: url(box), alt: "", draggable: "false"});
      const button = el("button", {type: "button", class: "frame", "data-letter": letter, title: name,
        "aria-label": `Field ${letter}: ${name}`, onclick: () => pick(letter, "film")},
      image, el("span", {class: "tag"}, letter), el("span", {class: "name"}, name));
      button.style.setProperty("--mark", colourOf(letter));
      frames.set(key, button);
    }
    return frames.get(key);
  }

  function show() {
    if (!desk.places.length) frames.clear();
    const empty = el("p", {class: "hint"}, "The fields an answer rests on appear here; a click flies to one.");
    node.replaceChildren(...(desk.places.length && desk.slide ? desk.places.map(frame) : [empty]));
  }

  on("places", show);
  on("pick", ({letter}) => node.querySelectorAll(".frame").forEach((button) => {
    const picked = button.dataset.letter === letter;
    button.classList.toggle("picked", picked);
    if (picked) button.scrollIntoView({block: "nearest", inline: "nearest"});
  }));
  show();
}
