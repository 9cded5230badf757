// What the parts of the page share: the slide in view, the places of the answer in focus, and who wants to know.
export const desk = {slide: null, regions: [], places: [], answering: false};

const listeners = new Map();

export function on(name, listener) {
  listeners.set(name, [...(listeners.get(name) || []), listener]);
}

export function emit(name, detail) {
  (listeners.get(name) || []).forEach((listener) => listener(detail));
}

// Okabe and Ito's colours that stand out from pink and purple tissue; a letter always stands beside the colour.
const COLOURS = ["#0072b2", "#c44e00", "#007a5a", "#8a6d00", "#005f86", "#7a3b00"];

export function colourOf(letter) {
  return COLOURS[(letter.charCodeAt(0) - 65) % COLOURS.length];
}

// A place was chosen by its letter, in an answer, on the slide or in the filmstrip: all three show it.
export function pick(letter, from) {
  emit("pick", {letter, from});
}
