"use strict";
// The gallery and the worst cases. Texts are set by textContent only, so that whatever a caption holds stays text.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 24;
let page = 0;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The caption with its tags marked. Places are counted in characters, not in JavaScript's 16-bit units.
function marked(caption) {
  const paragraph = element("p");
  const characters = Array.from(caption.text);
  let place = 0;
  for (const [start, end, kind, title] of caption.marks) {
    paragraph.append(characters.slice(place, start).join(""));
    const mark = element("mark", kind, characters.slice(start, end).join(""));
    mark.title = title;
    paragraph.append(mark);
    place = end;
  }
  paragraph.append(characters.slice(place).join("") || (place ? "" : "(empty)"));
  return paragraph;
}

function said(name, className, paragraphs, note) {
  const block = element("div", "said " + className);
  const who = element("div", "who", name);
  if (note) who.append(element("span", "", note));
  block.append(who, ...paragraphs);
  return block;
}

function card(product, metric) {
  const made = element("article", "card");
  const top = element("div", "top");
  const photo = element("img");
  photo.alt = "";
  photo.loading = "lazy";
  photo.decoding = "async";
  photo.width = photo.height = 128;
  photo.src = product.photo;
  const facts = element("div", "facts");
  const list = element("dl");
  for (const [entity, value] of product.tags) list.append(element("dt", "", entity), element("dd", "", value));
  facts.append(element("div", "name", product.id), list);
  top.append(photo, facts);
  made.append(top, said("reference", "reference", product.references.map(text => element("p", "", text))));
  product.captions.forEach((caption, run) => {
    const score = caption.scores[metric];
    const note = score === undefined ? "" : data.metrics[metric] + " " + score.toFixed(0);
    made.append(said(data.names[run], "s" + (run % 10), [marked(caption)], note));
  });
  return made;
}

function option(select, value, text) {
  const made = element("option", "", text);
  made.value = value;
  select.append(made);
}

const category = document.getElementById("category");
const order = document.getElementById("order");
const metric = document.getElementById("metric");
option(category, "", "all");
data.categories.forEach((name, i) => option(category, String(i), name));
option(order, "", "catalogue");
data.names.forEach((a, i) => data.names.forEach((b, j) => { if (i !== j) option(order, i + "," + j, a + " beats " + b + " most"); }));
data.names.forEach((name, i) => option(order, String(i), name + " worst first"));
data.metrics.forEach((name, i) => option(metric, String(i), name));
metric.value = String(data.main);

function chosen() {
  let products = data.products.filter(product => category.value === "" || product.category === Number(category.value));
  const m = Number(metric.value);
  const score = (product, run) => product.captions[run].scores[m];
  if (order.value.includes(",")) {
    const [a, b] = order.value.split(",").map(Number);
    const lead = product => score(product, a) - score(product, b);
    products = products.filter(product => lead(product) > 0).sort((p, q) => lead(q) - lead(p));
  } else if (order.value !== "") {
    products = products.slice().sort((p, q) => score(p, Number(order.value)) - score(q, Number(order.value)));
  }
  return products;
}

function show() {
  const products = chosen();
  const pages = Math.max(1, Math.ceil(products.length / PAGE));
  page = Math.min(page, pages - 1);
  const shown = products.slice(page * PAGE, (page + 1) * PAGE);
  const none = element("p", "empty", "No such product in the gallery.");
  document.getElementById("cards").replaceChildren(...(shown.length ? shown.map(p => card(p, Number(metric.value))) : [none]));
  document.getElementById("where").textContent = `page ${page + 1} of ${pages}, ${products.length} products`;
  document.getElementById("back").disabled = page === 0;
  document.getElementById("next").disabled = page === pages - 1;
}

for (const select of [category, order, metric]) select.addEventListener("change", () => { page = 0; show(); });
for (const [id, step] of [["back", -1], ["next", 1]]) {
  document.getElementById(id).addEventListener("click", () => { page += step; show(); document.getElementById("gallery").scrollIntoView(); });
}
show();
for (const place of document.querySelectorAll("[data-worst]")) {
  const worst = data.worst[Number(place.dataset.worst)].map(i => card(data.products[i], data.main));
  place.replaceChildren(...worst);
}
