// Head of the right column: which slide this is, which others are open, what must be known about it.
import {el} from "./dom.js";
import {desk, emit, on} from "./desk.js";

export function mount({element, trigger, props, watch}) {
  const list = element.querySelector("select");
  const facts = element.querySelector(".facts");
  const conditions = element.querySelector(".conditions");
  const [before, after] = element.querySelectorAll(".step");

  function open(key) {
    if (!key || key === list.dataset.open) return;
    list.dataset.open = key;
    list.value = key;
    emit("leave");
    trigger("open", {key});
  }

  function names() {
    const {names: entries, current} = props.slides || {names: [], current: null};
    list.replaceChildren(...entries.map(([key, name]) => el("option", {value: key}, name)));
    if (!entries.length) list.append(el("option", {value: ""}, "no slide open"));
    list.value = current || "";
    list.dataset.open = list.value;
    steps();
  }

  function steps() {
    before.disabled = list.selectedIndex <= 0;
    after.disabled = list.selectedIndex >= list.options.length - 1;
    element.querySelector(".count").textContent =
      list.options.length > 1 ? `${list.selectedIndex + 1} of ${list.options.length}` : "";
  }

  const step = (by) => open(list.options[list.selectedIndex + by]?.value);
  list.addEventListener("change", () => open(list.value));
  before.addEventListener("click", () => step(-1));
  after.addEventListener("click", () => step(1));
  on("step", step);
  on("goto", ({key}) => open(key));

  function describe(slide) {
    steps();
    if (!slide || slide.error) { facts.textContent = ""; conditions.replaceChildren(); return; }
    const thousands = (number) => number.toLocaleString("en");
    facts.textContent = [
      `${thousands(slide.bounds[2])} × ${thousands(slide.bounds[3])} px`,
      slide.mpp ? `${Number(slide.mpp.toPrecision(3))} µm/px${slide.mpp_source === "user" ? " (stated by you)" : ""}` : "µm/px unknown",
      slide.objective ? `objective ${slide.objective}×` : null,
      slide.vendor ? slide.vendor[0].toUpperCase() + slide.vendor.slice(1) : null,
    ].filter(Boolean).join(" · ");
    conditions.replaceChildren(...slide.conditions.map((sentence) => el("li", {}, sentence)));
  }

  on("slide", describe);
  watch("slides", names);
  names();
  describe(desk.slide);
}
