// Boxes on the slide: those a person draws to ask about, and those an answer rests on.
import {el} from "./dom.js";
import {colourOf, desk, on, pick} from "./desk.js";

const MOST = 4; // boxes in one question
const SMALLEST = 8; // level-0 pixels

export function mountBoxes(viewer, publish) {
  const origin = () => desk.slide?.bounds || [0, 0];
  const item = () => viewer.world.getItemAt(0);
  // Level-0 coordinates are the slide's; the viewer's image is the scanned area alone.
  const toView = ([x, y, w, h]) => item().imageToViewportRectangle(x - origin()[0], y - origin()[1], w, h);
  const toSlide = (position) => {
    const point = item().viewerElementToImageCoordinates(position);
    return {x: point.x + origin()[0], y: point.y + origin()[1]};
  };
  const clamp = ([x, y, w, h]) => {
    const [left, top, width, height] = desk.slide.bounds;
    const x0 = Math.max(left, Math.round(x)), y0 = Math.max(top, Math.round(y));
    const x1 = Math.min(left + width, Math.round(x + w)), y1 = Math.min(top + height, Math.round(y + h));
    return [x0, y0, x1 - x0, y1 - y0];
  };
  const lay = (node, box) => viewer.addOverlay({
    element: node, location: toView(box), rotationMode: OpenSeadragon.OverlayRotationMode.BOUNDING_BOX,
  });

  let asked = [], askedNodes = [], evidenceNodes = [], shown = true, tool = false, adding = false, held = false;
  let from = null, sketch = null;

  function drawAsked() {
    askedNodes.forEach((node) => viewer.removeOverlay(node));
    askedNodes = [];
    if (!item()) return;
    asked.forEach((box, index) => {
      const node = el("div", {class: "asked-box"});
      if (asked.length > 1) node.append(el("span", {class: "number"}, String(index + 1)));
      lay(node, box);
      askedNodes.push(node);
    });
  }

  function drawEvidence() {
    evidenceNodes.forEach((node) => viewer.removeOverlay(node));
    evidenceNodes = [];
    if (!item() || !shown) return;
    const area = ({box}) => box[2] * box[3];
    for (const {letter, box, name, asked: all} of [...desk.places].sort((one, other) => area(other) - area(one))) {
      const tag = el("button", {class: "tag", type: "button", "aria-label": `Evidence ${letter}: ${name}`}, letter);
      const node = el("div", {class: "evidence-box", "data-letter": letter}, tag);
      node.classList.toggle("all", all);
      node.classList.toggle("drawn", asked.some((mine) => String(mine) === String(box))); // has its outline already
      node.style.setProperty("--mark", colourOf(letter));
      lay(node, box);
      // A tracker of its own keeps the viewer from taking the press for a drag of the slide.
      const tracker = new OpenSeadragon.MouseTracker({element: tag, clickHandler: () => pick(letter, "slide")});
      tag.addEventListener("keydown", (event) => { if (event.key === "Enter") pick(letter, "slide"); });
      viewer.addOnceHandler("close", () => tracker.destroy());
      evidenceNodes.push(node);
    }
  }

  function set(boxes) {
    asked = boxes.map(clamp).filter((box) => box[2] >= SMALLEST && box[3] >= SMALLEST).slice(-MOST);
    drawAsked();
    drawEvidence();
    publish(asked);
  }

  function arm(on_, add = false) {
    tool = on_;
    adding = add;
    viewer.element.classList.toggle("drawing", tool);
    boxes.changed?.();
  }

  const span = (a, b) => [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(a.x - b.x), Math.abs(a.y - b.y)];
  const drop = () => { if (sketch) viewer.removeOverlay(sketch); sketch = null; from = null; };

  viewer.addHandler("canvas-press", (event) => {
    if (tool && !held && item()) from = toSlide(event.position);
  });
  viewer.addHandler("canvas-drag", (event) => {
    if (!from) return;
    event.preventDefaultAction = true;
    const box = span(from, toSlide(event.position));
    if (box[2] < 1 || box[3] < 1) return;
    if (sketch) viewer.updateOverlay(sketch, toView(box));
    else lay(sketch = el("div", {class: "asked-box sketch"}), box);
  });
  viewer.addHandler("canvas-drag-end", (event) => {
    if (!from) return;
    event.preventDefaultAction = true;
    const box = clamp(span(from, toSlide(event.position)));
    const kept = adding ? asked : [];
    drop();
    arm(false);
    if (box[2] >= SMALLEST && box[3] >= SMALLEST) set([...kept, box]);
  });
  viewer.addHandler("canvas-click", (event) => {
    if (!event.quick || tool || !item()) return;
    const at = toSlide(event.position);
    const hits = desk.places.filter(({box: [x, y, w, h]}) => at.x >= x && at.x <= x + w && at.y >= y && at.y <= y + h);
    hits.sort((one, other) => one.box[2] * one.box[3] - other.box[2] * other.box[3]);
    if (shown && hits.length) pick(hits[0].letter, "slide");
  });

  on("places", drawEvidence);
  on("pick", ({letter}) => evidenceNodes.forEach((node) => {
    const picked = node.dataset.letter === letter;
    node.classList.toggle("picked", picked);
    node.parentElement.style.zIndex = picked ? "1" : ""; // above its neighbours
  }));

  const boxes = {
    restore(regions) { asked = regions; drawAsked(); },
    redraw() { drawAsked(); drawEvidence(); },
    draw: () => arm(!tool || adding, false),
    drawAnother: () => arm(true, true),
    hold(on_) { held = on_; viewer.element.classList.toggle("held", on_); },
    frame() { // what is in view becomes the box
      if (!item()) return;
      const view = item().viewportToImageRectangle(viewer.viewport.getBounds(true).getBoundingBox());
      set([[view.x + origin()[0], view.y + origin()[1], view.width, view.height]]);
    },
    cancel() { // true when there was something to give up
      if (tool) { drop(); arm(false); return true; }
      if (asked.length) { set([]); return true; }
      return false;
    },
    toggle() { shown = !shown; drawEvidence(); return shown; },
    fly(box) {
      if (!item()) return;
      const [x, y, w, h] = box;
      viewer.viewport.fitBoundsWithConstraints(toView([x - w * 0.75, y - h * 0.75, w * 2.5, h * 2.5]));
    },
    get shown() { return shown; },
    get drawing() { return tool; },
    get count() { return asked.length; },
    changed: null,
  };
  return boxes;
}
