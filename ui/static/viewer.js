// The slide: OpenSeadragon over our own tiles, with overview, scale, toolbar, boxes and filmstrip.
import {el} from "./dom.js";
import {desk, emit, on} from "./desk.js";
import {mountBoxes} from "./boxes.js";
import {mountFilmstrip} from "./filmstrip.js";
import {actions, mountKeys} from "./keys.js";
import {micronsPerPixel, mountScale} from "./scale.js";

export function mount({element, trigger, props, watch}) {
  const stage = element.querySelector(".stage");
  const notice = element.querySelector(".notice");
  const accent = getComputedStyle(element).getPropertyValue("--desk-accent").trim() || "#0b7285";
  const viewer = OpenSeadragon({
    element: element.querySelector(".osd"), showNavigationControl: false, drawer: ["canvas"], crossOriginPolicy: false,
    showNavigator: true, navigatorPosition: "TOP_RIGHT", navigatorSizeRatio: 0.17, navigatorAutoFade: false, navigatorOpacity: 1,
    navigatorDisplayRegionColor: accent, navigatorBorderColor: "transparent",
    animationTime: 0.45, springStiffness: 9, maxZoomPixelRatio: 4, visibilityRatio: 0.3, minZoomImageRatio: 0.7,
    zoomPerScroll: 1.25, imageLoaderLimit: 6, gestureSettingsMouse: {clickToZoom: false, dblClickToZoom: true},
  });
  const item = () => viewer.world.getItemAt(0);
  const look = {
    power(times) {
      if (item()) viewer.viewport.zoomTo(item().imageToViewportZoom(desk.slide.mpp * times / 10));
    },
    // Beyond the scan's own magnification a larger picture shows nothing more.
    reaches: (times) => Boolean(desk.slide?.mpp) && times <= (10 / desk.slide.mpp) * 1.15,
    turn: (degrees) => viewer.viewport.setRotation(viewer.viewport.getRotation() + degrees),
    home() { viewer.viewport.setRotation(0); viewer.viewport.goHome(); },
    zoom(factor) { viewer.viewport.zoomBy(factor); viewer.viewport.applyConstraints(); },
    pan(x, y) {
      const span = viewer.viewport.getBounds();
      const step = new OpenSeadragon.Point(x * span.width * 0.15, y * span.height * 0.15);
      viewer.viewport.panBy(step.rotate(-viewer.viewport.getRotation()));
      viewer.viewport.applyConstraints();
    },
  };

  const publish = (regions) => {
    desk.regions = regions;
    props.value = {slide: desk.slide.key, regions};
    trigger("region", props.value);
    emit("regions", regions);
  };
  const boxes = mountBoxes(viewer, publish);
  const table = actions(viewer, boxes, look);
  table.find((row) => row.key === " ").release = () => boxes.hold(false);
  const refresh = mountKeys(table, stage);
  boxes.changed = refresh;
  const rescale = mountScale(stage.appendChild(el("div", {class: "scale"})), viewer, (mpp) => {
    trigger("statescale", {slide: desk.slide.key, mpp});
  });
  mountFilmstrip(element.querySelector(".film"));

  viewer.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; }); // the table of keys.js rules
  let wanted = null; // a place on a slide that is still being opened
  const arrive = () => {
    if (wanted?.box && wanted.key === desk.slide?.key && item()) boxes.fly(wanted.box);
    if (item()) wanted = null;
  };
  on("goto", (place) => { wanted = place; if (desk.slide?.key === place.key) arrive(); });
  viewer.addHandler("open", () => {
    viewer.canvas.setAttribute("role", "application");
    viewer.canvas.setAttribute("aria-label", "Slide; press ? for the keys");
    tell("");
    boxes.redraw();
    rescale();
    arrive();
  });
  viewer.addHandler("open-failed", () => tell("This slide could not be shown."));
  viewer.addHandler("animation", rescale);
  viewer.addHandler("resize", rescale);
  const tell = (text) => { notice.textContent = text; notice.hidden = !text; };

  function show(slide, regions) {
    const same = desk.slide && slide && desk.slide.key === slide.key && String(desk.slide.size) === String(slide.size);
    desk.slide = slide;
    stage.classList.toggle("blank", !slide || Boolean(slide.error));
    if (!slide || slide.error) {
      viewer.close();
      props.value = slide ? {slide: slide.key, regions: []} : null;
      tell(slide ? slide.error : "No slide is open. Start the desk with one: pathcopilot serve SLIDE…");
    } else if (same) { // only the scale was stated
      rescale();
    } else {
      tell("Opening the slide …");
      props.value = {slide: slide.key, regions};
      desk.regions = regions;
      boxes.restore(regions);
      const [, , width, height] = slide.bounds;
      viewer.open({
        width, height, tileSize: slide.tile, tileOverlap: slide.overlap, maxLevel: slide.max_level, minLevel: 0,
        getTileUrl: (level, x, y) => new URL(`tiles/${slide.key}/${level}/${x}_${y}.jpg`, document.baseURI).href,
      });
    }
    refresh();
    emit("slide", slide);
    emit("regions", desk.regions);
  }

  on("leave", () => { // at once, before the server answers: nothing of the old slide stays
    desk.slide = null;
    viewer.close();
    tell("Opening the slide …");
    refresh();
  });
  on("pick", ({letter, from}) => {
    if (from === "slide") return;
    const place = desk.places.find((candidate) => candidate.letter === letter);
    if (place) boxes.fly(place.box);
    else if (letter === "slide") look.home();
  });
  on("halt", () => trigger("halt", {slide: desk.slide?.key}));
  const loaded = () => { if (props.shown) show(props.shown.slide, props.shown.regions); };
  watch("shown", loaded);
  loaded();
  window.pathcopilot = {viewer, desk, micronsPerPixel: () => micronsPerPixel(viewer)}; // for tests and the console
}
