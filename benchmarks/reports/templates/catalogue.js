"use strict";
// The map of the catalogue. Texts are set by textContent only, so that whatever a product is called stays text.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("plane");
const hint = document.getElementById("hint");
const entity = document.getElementById("entity");
const pen = canvas.getContext("2d");
const MARGIN = 16;
let zoom = 1, x0 = 0, y0 = 0; // of the view: its left upper corner in 0 to 1
let grabbed = null, chosen = -1;

const options = Object.keys(data.entities);
for (const name of options.length ? options : ["(no tags)"]) {
  const made = document.createElement("option");
  made.textContent = name;
  made.value = name;
  entity.append(made);
}

function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function size() { return [canvas.clientWidth, canvas.clientHeight]; }

function place(i) {
  const [w, h] = size();
  const [x, y] = data.places[i];
  return [MARGIN + (x - x0) * zoom * (w - 2 * MARGIN), MARGIN + (y - y0) * zoom * (h - 2 * MARGIN)];
}

function draw() {
  const [w, h] = size();
  const scale = window.devicePixelRatio || 1;
  canvas.width = w * scale;
  canvas.height = h * scale;
  pen.scale(scale, scale);
  const shades = Array.from({length: 10}, (_, i) => style("--c" + i));
  const grey = style("--line");
  const colours = data.entities[entity.value] ? data.entities[entity.value].colours : [];
  const radius = Math.min(7, (data.places.length > 3000 ? 1.6 : 3) * Math.sqrt(zoom));
  for (const coloured of [false, true]) {
    for (let i = 0; i < data.places.length; i++) {
      const colour = colours[i] === undefined ? -1 : colours[i];
      if ((colour >= 0) !== coloured) continue;
      const [x, y] = place(i);
      pen.fillStyle = coloured ? shades[colour] : grey;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
  }
  if (chosen >= 0) {
    const [x, y] = place(chosen);
    pen.strokeStyle = style("--ink");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, radius + 3, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function legend() {
  const list = document.getElementById("legend");
  const names = data.entities[entity.value] ? data.entities[entity.value].names : [];
  list.replaceChildren(...names.map((name, i) => {
    const item = document.createElement("li");
    item.className = "s" + i;
    item.textContent = name;
    return item;
  }));
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function nearest(px, py) {
  let best = -1, least = 14 * 14;
  for (let i = 0; i < data.places.length; i++) {
    const [x, y] = place(i);
    const distance = (x - px) ** 2 + (y - py) ** 2;
    if (distance < least) { best = i; least = distance; }
  }
  return best;
}

function choose(i) {
  if (i === chosen) return;
  chosen = i;
  hint.hidden = i < 0;
  if (i >= 0) {
    const [x, y] = place(i), [w] = size();
    const photo = document.createElement("img");
    photo.alt = "";
    photo.src = data.photos[i];
    const name = document.createElement("b");
    name.textContent = data.names[i];
    const lines = options.map(tag => [tag, data.entities[tag].values[i]]).filter(pair => pair[1]).map(pair => pair.join(": "));
    const said = document.createElement("div");
    said.textContent = [data.texts[i], ...lines].join(" · ");
    hint.replaceChildren(photo, name, said);
    hint.style.left = Math.max(4, Math.min(x + 14, w - 250)) + "px";
    hint.style.top = Math.max(4, y + 14) + "px";
  }
  draw();
}

function zoomed(factor, px, py) {
  const [w, h] = size();
  const fx = (px - MARGIN) / (w - 2 * MARGIN), fy = (py - MARGIN) / (h - 2 * MARGIN);
  const next = Math.min(60, Math.max(1, zoom * factor));
  x0 += fx / zoom - fx / next;
  y0 += fy / zoom - fy / next;
  zoom = next;
  if (zoom === 1) x0 = y0 = 0;
  chosen = -1;
  hint.hidden = true;
  draw();
}

canvas.addEventListener("wheel", event => { event.preventDefault(); zoomed(event.deltaY < 0 ? 1.25 : 0.8, ...point(event)); }, {passive: false});
canvas.addEventListener("pointerdown", event => { grabbed = point(event); canvas.setPointerCapture(event.pointerId); choose(nearest(...grabbed)); });
canvas.addEventListener("pointerup", () => { grabbed = null; });
canvas.addEventListener("pointerleave", () => { if (!grabbed) choose(-1); });
canvas.addEventListener("pointermove", event => {
  const now = point(event);
  if (!grabbed) { choose(nearest(...now)); return; }
  const [w, h] = size();
  x0 -= (now[0] - grabbed[0]) / zoom / (w - 2 * MARGIN);
  y0 -= (now[1] - grabbed[1]) / zoom / (h - 2 * MARGIN);
  grabbed = now;
  hint.hidden = true;
  draw();
});
document.getElementById("closer").addEventListener("click", () => { const [w, h] = size(); zoomed(1.5, w / 2, h / 2); });
document.getElementById("farther").addEventListener("click", () => { const [w, h] = size(); zoomed(1 / 1.5, w / 2, h / 2); });
document.getElementById("whole").addEventListener("click", () => { zoom = 1; x0 = y0 = 0; draw(); });
entity.addEventListener("change", () => { legend(); draw(); });
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
legend();
draw();
