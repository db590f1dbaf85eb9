// Elements of the page, and questions to the server.
// Texts of the catalogue are untrusted: they reach the page as text nodes and attributes only, never as markup.

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
export const valuesOf = (tag) => (tag === undefined ? [] : tag.split(" | ")); // a tag may have several
export const thumbnail = (id) => "/api/thumbnail?" + new URLSearchParams({ id });
export const photoAddress = (photo) =>
  photo.startsWith("product:") ? thumbnail(photo.slice(8)) : "/api/photo?" + new URLSearchParams({ photo });

export function say(text) {
  $("said").textContent = text;
  $("said").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("said").classList.remove("shown"), 3500);
}

export async function ask(path, parameters, options) {
  const query = parameters ? "?" + new URLSearchParams(parameters) : "";
  let answer;
  try {
    answer = await fetch(path + query, options);
  } catch {
    throw new Error("The search cannot be reached. Check your connection and try again.");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || "The search is out of order just now. Try again in a moment.");
  return found;
}
