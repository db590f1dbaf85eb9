// Elements of the page, and questions to the server.
// Texts of the catalogue are untrusted: they reach the page as text nodes and attributes only, never as markup.

const SHORT = 20; // letters that a title has at least: “Dr. Martens” is none
const LONG = 120; // and at most
export const about = JSON.parse(document.body.dataset.about);
export const $ = (id) => document.getElementById(id);

export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if ((key in node && key !== "list") || key === "product") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

export const button = (className, text, onclick, properties = {}) =>
  el("button", { type: "button", className, onclick, ...properties }, text);

export const plainName = (entity) => entity.replaceAll("_", " ");
export const productCount = (count) => `${count.toLocaleString("en")} ${count === 1 ? "product" : "products"}`;
export const isLink = (value) => /^https?:\/\//.test(value);
export const valuesOf = (tag) => (tag === undefined ? [] : tag.split(" | ")); // a tag may have several

// A description's title and the rest: its first sentence, or else as many of its words as a title takes.
export function titled(text) {
  if (text.length <= LONG) return [text, ""];
  const end = text.slice(SHORT, LONG).search(/(?<=[.!?。！？؟])\s/);
  if (end >= 0) return [text.slice(0, SHORT + end), text.slice(SHORT + end).trim()];
  return [[...text].slice(0, LONG).join("").replace(/\s\S*$/, "") + "…", text];
}

export const titleOf = (product) => titled(product.caption)[0] || product.product_id;
export const thumbnail = (id) => "/api/thumbnail?" + new URLSearchParams({ id });
export const photoAddress = (photo) =>
  photo.startsWith("product:") ? thumbnail(photo.slice(8)) : "/api/photo?" + new URLSearchParams({ photo });

// Beside an open dialog nothing is seen or read aloud: what concerns the whole page moves into it.
export function raise(node) {
  const place = document.querySelector("dialog[open]") || document.body;
  if (node.parentElement !== place) place.append(node);
}

const said = $("said");
const SAID = 3500; // milliseconds

export function say(text, { stays = false } = {}) {
  raise(said);
  said.textContent = text;
  said.classList.add("shown");
  clearTimeout(say.timer);
  if (!stays) say.timer = setTimeout(hush, SAID);
}

export const hush = () => said.classList.remove("shown");

// Changes the page; if that takes away what had the focus, the heading gets it.
export function changing(change) {
  const focused = document.activeElement !== document.body;
  change();
  const now = document.activeElement;
  if (focused && (now === document.body || !now.checkVisibility())) $("heading").focus({ preventScroll: true });
}

// What failed, and whether trying again may help.
const failure = (text, passing) => Object.assign(new Error(text), { passing });

export async function ask(path, parameters, options) {
  const query = parameters ? "?" + new URLSearchParams(parameters) : "";
  let answer;
  try {
    answer = await fetch(path + query, options);
  } catch {
    throw failure("The search cannot be reached. Check your connection and try again.", true);
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw failure(found.error || "The search is out of order just now. Try again in a moment.", answer.status >= 500);
  return found;
}
