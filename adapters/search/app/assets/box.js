// A box drawn on a photo, by mouse, finger or keys: the part of the photo to search with.

import { go } from "./address.js";
import { button, el } from "./dom.js";

const START = [0.2, 0.2, 0.8, 0.8]; // left, top, right, bottom, as shares of width and height
const STEP = 0.02; // of a key
const LEAST = 0.08; // of the sides; a smaller box was a click
const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const HELP = "Arrow keys move it, Shift and arrow keys change its size, Enter searches with it.";

const clamped = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

// Makes a photo's frame take a box; `drawn` is the present one or null. Returns the buttons that go with it.
export function takeBox(picture, drawn) {
  let sides = drawn ? drawn.split(",").map(Number) : START;
  const frame = el("button", { type: "button", className: "box", hidden: !drawn, onclick: search, onkeydown: byKey });
  const choose = button("plain", "Choose a part", () => {
    place(sides);
    frame.hidden = false;
    choose.hidden = true;
    sure.hidden = whole.hidden = false;
    frame.focus();
  }, { hidden: Boolean(drawn), title: "Search with a part of the photo: draw a box around it" });
  const sure = button("plain", "Search with this part", search, { hidden: true });
  const whole = button("plain", "Whole photo", () => (drawn ? leave(null) : hide()), { hidden: !drawn });

  function place(now) {
    sides = now;
    const [left, top, right, bottom] = now.map((side) => 100 * side);
    Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
    frame.setAttribute("aria-label", `Part to search with: from ${Math.round(left)} to ${Math.round(right)} percent of the width, `
      + `${Math.round(top)} to ${Math.round(bottom)} percent of the height. ${HELP}`);
    frame.classList.toggle("changed", text() !== drawn);
    sure.hidden = frame.hidden || text() === drawn;
  }

  const text = () => sides.map((side) => Number(side.toFixed(3))).join(",");

  function search() {
    if (text() !== drawn) leave(text());
  }

  function leave(box) {
    go({ box });
    document.querySelector("#query-photo .part button:not([hidden])")?.focus({ preventScroll: true });
  }

  function hide() {
    frame.hidden = sure.hidden = whole.hidden = true;
    choose.hidden = false;
    choose.focus();
  }

  function byKey(event) {
    const move = MOVES[event.key];
    if (event.key === "Escape" && !drawn) return hide();
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // the arrows move nothing else
    const [x, y] = move;
    const [left, top, right, bottom] = sides;
    if (event.shiftKey) place([left, top, clamped(right + x, left + LEAST), clamped(bottom + y, top + LEAST)]);
    else {
      const [dx, dy] = [clamped(x, -left, 1 - right), clamped(y, -top, 1 - bottom)];
      place([left + dx, top + dy, right + dx, bottom + dy]);
    }
  }

  picture.classList.add("boxed");
  picture.addEventListener("pointerdown", (down) => {
    if (down.button || (down.pointerType !== "mouse" && frame.hidden)) return; // a finger scrolls the page until a part is chosen
    const area = picture.getBoundingClientRect();
    const point = (event) => [clamped((event.clientX - area.left) / area.width), clamped((event.clientY - area.top) / area.height)];
    const [x0, y0] = point(down);
    const before = { sides, hidden: frame.hidden };
    let large = false;
    const move = (event) => {
      const [x, y] = point(event);
      const box = [Math.min(x, x0), Math.min(y, y0), Math.max(x, x0), Math.max(y, y0)];
      large = box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST;
      if (!large) return;
      picture.setPointerCapture(down.pointerId);
      frame.hidden = false;
      place(box);
    };
    const end = (event) => {
      for (const name of ["pointermove", "pointerup", "pointercancel"]) picture.removeEventListener(name, name === "pointermove" ? move : end);
      if (event.type === "pointerup" && large) return search();
      frame.hidden = before.hidden;
      place(before.sides);
    };
    picture.addEventListener("pointermove", move);
    picture.addEventListener("pointerup", end);
    picture.addEventListener("pointercancel", end);
  });
  picture.append(frame);
  place(sides);
  return el("div", { className: "part" }, choose, sure, whole);
}
