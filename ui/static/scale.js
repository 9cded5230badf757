// Scale bar and true magnification. Ten-fold is 1 µm per screen pixel, whatever the objective says.
import {el} from "./dom.js";
import {desk} from "./desk.js";

const WIDEST = 140; // screen pixels

export function micronsPerPixel(viewer) {
  const item = viewer.world.getItemAt(0);
  if (!item || !desk.slide?.mpp) return null;
  return desk.slide.mpp / item.viewportToImageZoom(viewer.viewport.getZoom(true));
}

export function roundLength(microns) {
  const ten = 10 ** Math.floor(Math.log10(microns));
  return [5, 2, 1].map((step) => step * ten).find((length) => length <= microns);
}

export function lengthInWords(microns) {
  return microns >= 1000 ? `${microns / 1000} mm` : `${microns} µm`;
}

export function magnificationInWords(perPixel) {
  const times = 10 / perPixel;
  return `${times >= 9.95 ? times.toFixed(0) : times >= 1 ? times.toFixed(1) : times.toFixed(2)}×`;
}

export function mountScale(node, viewer, stateScale) {
  const bar = el("span", {class: "bar"});
  const length = el("span", {class: "length"});
  const power = el("span", {class: "power", title: "10× is 1 µm per screen pixel"});
  const known = el("div", {class: "known"}, el("div", {class: "ruler"}, length, bar), power);
  const input = el("input", {
    type: "text", inputmode: "decimal", size: 8, placeholder: "e.g. 0.25", "aria-label": "µm per pixel of the scan",
  });
  const complaint = el("span", {class: "complaint", role: "alert"});
  const form = el("form", {class: "unknown"}, el("span", {}, "scale unknown — state µm/px"), input,
    el("button", {type: "submit"}, "Set"), complaint);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const mpp = Number(input.value.replace(",", "."));
    complaint.textContent = mpp >= 0.02 && mpp <= 50 ? "" : "0.02 to 50; a 40× scan is about 0.25";
    if (!complaint.textContent) stateScale(mpp);
  });
  node.append(known, form);

  return function update() {
    const perPixel = micronsPerPixel(viewer);
    known.hidden = perPixel === null;
    form.hidden = perPixel !== null || !desk.slide || Boolean(desk.slide.error);
    if (perPixel === null) return;
    const microns = roundLength(perPixel * WIDEST);
    bar.style.width = `${microns / perPixel}px`;
    length.textContent = lengthInWords(microns);
    power.textContent = magnificationInWords(perPixel);
  };
}
