// One table of what can be done from the keyboard: handlers, toolbar and the list behind `?` are all made from it.
import {el, icon} from "./dom.js";
import {desk, emit} from "./desk.js";

const typing = (node) => node?.closest?.("input, textarea, select, [contenteditable]");
const inControl = (node) => node?.closest?.("button, summary, a, [role=tab], dialog");

export function actions(viewer, boxes, look) {
  const power = (times, key) => ({
    key, show: key, what: `Go to ${times}×`, label: `${times}×`, tool: true, run: () => look.power(times),
    off: () => !look.reaches(times),
    why: () => desk.slide?.mpp ? `the scan is ${Math.round(10 / desk.slide.mpp)}×` : "the scale is unknown",
  });
  return [
    {key: "r", show: "R", what: "Draw a box to ask about", label: "Box", tool: true,
      icon: "M3 3h14v14H3z", run: boxes.draw, on: () => boxes.drawing},
    {key: "R", show: "Shift R", what: "Draw a further box, to compare", run: boxes.drawAnother},
    {key: "v", show: "V", what: "Ask about what is in view", label: "In view", tool: true,
      icon: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4", run: boxes.frame},
    {key: "a", show: "A", what: "Show or hide the evidence", label: "Evidence", tool: true,
      icon: "M2 10c4-7 12-7 16 0c-4 7-12 7-16 0zM10 7.5a2.5 2.5 0 1 0 .01 0", run: boxes.toggle, on: () => boxes.shown},
    power(5, "1"), power(10, "2"), power(20, "3"), power(40, "4"),
    {key: "<", show: "<", what: "Turn left", run: () => look.turn(-90)},
    {key: ">", show: ">", what: "Turn right", label: "Turn right", tool: true, bare: true,
      icon: "M16 10a6 6 0 1 1-2-4.5M14.5 2v4h-4", run: () => look.turn(90)},
    {key: "0", show: "0", what: "Whole slide, upright", run: look.home},
    {key: "+", show: "+", what: "Closer", run: () => look.zoom(1.4)},
    {key: "-", show: "−", what: "Further away", run: () => look.zoom(1 / 1.4)},
    {key: "ArrowLeft", show: "← ↑ → ↓", what: "Move", run: () => look.pan(-1, 0)},
    {key: "ArrowRight", run: () => look.pan(1, 0)},
    {key: "ArrowUp", run: () => look.pan(0, -1)},
    {key: "ArrowDown", run: () => look.pan(0, 1)},
    {key: " ", show: "Space", what: "Held while drawing: move", run: () => boxes.hold(true)},
    {key: "[", show: "[", what: "Previous slide", run: () => emit("step", -1)},
    {key: "]", show: "]", what: "Next slide", run: () => emit("step", 1)},
    {key: "/", show: "/", what: "To the question", run: () => document.querySelector("#question textarea")?.focus()},
    {show: "Enter", what: "Send the question"},
    {key: "Escape", show: "Esc", what: "Stop the answer; else drop the box", anywhere: true, run: escape},
    {key: "?", show: "?", what: "This list", label: "Keys", tool: true, bare: true,
      icon: "M7 7a3 3 0 1 1 4.2 2.8c-.9.4-1.2 1-1.2 2.2M10 15.2v.3", run: () => help.showModal()},
  ];

  function escape() {
    if (desk.answering) emit("halt");
    else if (!boxes.cancel()) document.activeElement?.blur?.();
  }
}

let help = null;

export function mountKeys(table, node) {
  help = el("dialog", {class: "keys", "aria-label": "Keys"}, el("h2", {}, "Keys"),
    el("dl", {}, table.filter((row) => row.show).map((row) => [el("dt", {}, el("kbd", {}, row.show)), el("dd", {}, row.what)])),
    el("form", {method: "dialog"}, el("button", {}, "Close")));
  help.addEventListener("click", (event) => { if (event.target === help) help.close(); });
  node.append(help);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const row = table.find((candidate) => candidate.key === event.key);
    if (!row?.run || (!row.anywhere && typing(event.target))) return;
    const moves = event.key.startsWith("Arrow") || event.key === " ";
    if (moves && inControl(event.target)) return; // tabs and buttons keep their own keys
    event.preventDefault();
    if (!row.off?.()) row.run();
    refresh();
  });
  document.addEventListener("keyup", (event) => { if (event.key === " ") table.find((row) => row.key === " ").release?.(); });

  const buttons = table.filter((row) => row.tool).map((row) => {
    const button = el("button", {type: "button", class: row.icon ? "" : "power", "aria-label": row.what,
      "aria-keyshortcuts": row.key, onclick: () => { row.run(); refresh(); }},
    row.icon ? icon(row.icon) : null, row.bare ? null : el("span", {}, row.label));
    return [row, button];
  });
  const toolbar = el("div", {class: "tools", role: "toolbar", "aria-label": "Slide tools"}, buttons.map(([, button]) => button));
  node.append(toolbar);

  function refresh() {
    for (const [row, button] of buttons) {
      if (row.on) button.setAttribute("aria-pressed", String(row.on()));
      const off = Boolean(row.off?.());
      button.disabled = off;
      button.title = off ? `${row.what}: ${row.why()}` : `${row.what} (${row.show})`;
    }
  }
  refresh();
  return refresh;
}
