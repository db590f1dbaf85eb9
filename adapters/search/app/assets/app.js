// The search page. The address holds the whole search, so that links, history and reload bring it back.
// Texts of the catalogue are untrusted: they reach the page as text nodes and attributes only, never as markup.

const about = JSON.parse(document.body.dataset.about);
const $ = (id) => document.getElementById(id);
const PAGE = 24;
const WEIGHT = "0.8"; // of the words in a blend, as everywhere (TEXT_WEIGHT)
const FEW = 7; // values of a filter shown at first
const SHADE = 0.55; // over patches that no token took: the photo stays to be seen
const METHODS = {
  slots: ["Change its tags", "Reads the photo's tags and changes those that your words name"],
  cirevl: ["Rewrite its description", "Describes the photo, and rewrites the description by your words"],
  slerp: ["Blend", "A point between photo and words; you choose how near to which"],
  lincir: ["As a word (LinCIR)", "The photo becomes a word in a sentence with your words"],
  pic2word: ["As a word (Pic2Word)", "The photo becomes a word in a sentence with your words"],
  searle: ["As a word (SEARLE)", "The photo becomes a word in a sentence with your words"],
  sum: ["Sum", "Photo and words count alike"],
};
const SURE = { known: "from the catalogue", likely: "likely", guess: "a guess" };
const STEPS = { kept: "Comes first", changed: "After your words", prompt: "Searched with", caption: "The photo, described", rewritten: "After your words",
  unwanted: "Kept out", reranked: "Looked at closely", "not understood": "Not understood" };
let answer = null; // the newest page of products that is shown
let latest = 0; // number of the newest request; answers to older ones are dropped
let uploading = null;

// Elements -------------------------------------------------------------------------------------------------------------

function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if ((key in node && key !== "list") || key === "product") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const plainName = (entity) => entity.replaceAll("_", " ");
const thumbnail = (id) => "/api/thumbnail?" + new URLSearchParams({ id });
const photoAddress = (photo) =>
  photo.startsWith("product:") ? thumbnail(photo.slice(8)) : "/api/photo?" + new URLSearchParams({ photo });

function say(text) {
  $("said").textContent = text;
  $("said").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("said").classList.remove("shown"), 3500);
}

// Asking ---------------------------------------------------------------------------------------------------------------

async function ask(path, parameters, options) {
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

// The address ----------------------------------------------------------------------------------------------------------

function state() {
  const found = new URLSearchParams(location.search);
  return {
    q: found.get("q") || "", photo: found.get("photo"), method: found.get("method"),
    weight: found.get("weight") || WEIGHT, tags: found.getAll("tag"), product: found.get("product"),
  };
}

function addressOf(wanted) {
  const found = new URLSearchParams();
  if (wanted.q) found.set("q", wanted.q);
  if (wanted.photo) found.set("photo", wanted.photo);
  if (wanted.photo && wanted.q && wanted.method) found.set("method", wanted.method);
  if (wanted.photo && wanted.q && wanted.weight !== WEIGHT) found.set("weight", wanted.weight);
  for (const tag of wanted.tags) found.append("tag", tag);
  if (wanted.product) found.set("product", wanted.product);
  const text = found.toString();
  return location.pathname + (text ? "?" + text : "");
}

// Words that were typed and not sent yet are part of whatever is chosen next; a product that is opened leaves them alone.
function go(changes, { replace = false } = {}) {
  const wanted = { ...state(), q: $("words").value.trim(), ...changes };
  visit(wanted, { replace: replace || opened !== null });
}

function visit(wanted, { replace = false, mark = null } = {}) {
  const address = addressOf(wanted);
  if (address !== location.pathname + location.search) history[replace ? "replaceState" : "pushState"](mark, "", address);
  render();
}

// A product has one entry in the history at most, which closing takes back: so Back never opens it again.
function openProduct(id) {
  const another = opened !== null;
  visit({ ...state(), product: id }, { replace: another, mark: another ? history.state : "opened here" });
}

function closeProduct() {
  if (opened === null) return;
  const here = history.state === "opened here";
  showProduct(null);
  if (here) history.back();
  else visit({ ...state(), product: null }, { replace: true });
}

// Searching ------------------------------------------------------------------------------------------------------------

let shown = null; // the search whose products are on the page, without the opened product; null after a failure
let sent = null; // the words of that search
const left = new Map(); // address -> what a page showed when it was left, for Back

function leave() {
  if (shown === null || !answer) return;
  left.delete(shown); // the newest is kept longest
  left.set(shown, { answer, products: [...$("results").children], scroll: scrollY });
  if (left.size > 20) left.delete(left.keys().next().value);
}

function comeBack(wanted, page) {
  latest++;
  $("results").removeAttribute("aria-busy");
  $("more").disabled = false;
  $("results").replaceChildren(...page.products);
  showAnswer(wanted, page.answer);
  scrollTo({ top: page.scroll });
}

function render({ back = false } = {}) {
  const wanted = state();
  if (wanted.q !== sent) $("words").value = sent = wanted.q;
  $("words").placeholder = wanted.photo ? "What should differ? For example: in red" : "Search by words, or by a photo";
  showPhotoChip(wanted);
  showMix(wanted);
  showChips(wanted);
  const key = addressOf({ ...wanted, product: null });
  if (key !== shown) {
    leave();
    shown = key;
    showQueryPhoto(wanted);
    if (back && left.has(key)) comeBack(wanted, left.get(key));
    else search(wanted);
  }
  showProduct(wanted.product);
  document.title = (wanted.q ? `${wanted.q} · ` : wanted.photo ? "photo · " : "") + "E2 search";
}

function parametersOf(wanted, offset) {
  const found = new URLSearchParams({ q: wanted.q, k: PAGE, offset });
  if (wanted.photo) found.set("photo", wanted.photo);
  if (wanted.photo && wanted.q) {
    if (wanted.method) found.set("method", wanted.method);
    found.set("weight", wanted.weight);
  }
  for (const tag of wanted.tags) found.append("tag", tag);
  return found;
}

async function search(wanted, offset = 0) {
  const number = ++latest;
  if (!offset) answer = null;
  const results = $("results");
  results.setAttribute("aria-busy", "true");
  $("more").disabled = true;
  try {
    const found = await ask("/api/search", parametersOf(wanted, offset));
    if (number !== latest) return;
    if (!offset) results.replaceChildren();
    const added = found.products.map(card);
    results.append(...added);
    showAnswer(wanted, found);
    if (offset) added[0]?.querySelector("a").focus();
    else if (about.entities.length) suggest(found.facets);
  } catch (problem) {
    if (number !== latest) return;
    if (offset) return say(problem.message); // the products stay, and so does the button
    shown = answer = null;
    $("found").textContent = "";
    results.replaceChildren();
    $("more").hidden = true;
    $("query-photo").hidden = true;
    showHeading(wanted);
    showMessage(problem.message, emptyWays(wanted));
  } finally {
    if (number === latest) {
      results.removeAttribute("aria-busy");
      $("more").disabled = false;
    }
  }
}

// Everything beside the products themselves.
function showAnswer(wanted, found) {
  answer = found;
  $("message").hidden = true;
  $("more").hidden = found.next_offset === null;
  $("more").onclick = () => search(wanted, found.next_offset);
  const spelling = Object.entries(found.steps.spelling || {}).map(([typed, read]) => `; “${typed}” read as “${read}”`).join("");
  $("found").textContent = `${found.found.toLocaleString("en")} ${found.found === 1 ? "product" : "products"}${spelling}`;
  $("save").hidden = !$("results").children.length;
  showHeading(wanted);
  showStart(wanted, found.facets);
  showFilters(found.facets, wanted);
  showSteps(found);
  showLine(found.steps.kept);
  if (!$("results").children.length) showMessage("Nothing here passes these filters.", [...fewerFilters(wanted, found.facets), ...emptyWays(wanted)]);
}

// A line above the first product that does not keep the reference's garment.
function showLine(kept) {
  $("results").querySelector(".line")?.remove();
  const [entity, value] = Object.entries(kept || {})[0] || [];
  const other = entity && [...$("results").children].find((item) => item.product.tags[entity] !== value);
  if (other) other.before(el("li", { className: "line" }, "Not ", el("bdi", {}, value), ", but near to your wish"));
}

// Without any value of one tag, as many products remain as its counts add up to: they are under the other filters.
function fewerFilters(wanted, facets) {
  const entities = new Set(wanted.tags.map((tag) => tag.split(":")[0]));
  return [...entities].map((entity) => [entity, Object.values(facets[entity] || {}).reduce((sum, count) => sum + count, 0)])
    .filter(([, count]) => count)
    .map(([entity, count]) => el("button", { type: "button", className: "plain",
      onclick: () => go({ tags: state().tags.filter((tag) => tag.split(":")[0] !== entity) }) },
    `Any ${plainName(entity)}: ${count.toLocaleString("en")} ${count === 1 ? "product" : "products"}`));
}

function suggest(facets) {
  const values = Object.values(facets).flatMap((counts) => Object.keys(counts).slice(0, 100)).filter((value) => value);
  $("suggestions").replaceChildren(...[...new Set(values)].map((value) => el("option", { value })));
}

function showStart(wanted, facets) {
  const fresh = !wanted.q && !wanted.photo && !wanted.tags.length;
  $("start").hidden = !fresh;
  if (!fresh) return;
  const examples = Object.values(facets).map((counts) => Object.keys(counts).find((value) => value)).filter((value) => value).slice(0, 4);
  $("start").replaceChildren(
    el("p", {}, "Say what you look for, or drop a photo of it here. Then say what should differ: “in blue”, “not striped”."),
    el("p", { className: "chips" }, ...examples.map((words) =>
      el("button", { type: "button", onclick: () => go({ q: words }) }, el("bdi", {}, words)))));
}

// A table of the products that are shown. A text that a spreadsheet would run as a formula gets an apostrophe before it.
function saveTable() {
  const cell = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? "'" + text : text).replaceAll('"', '""')}"`;
  const rows = [...$("results").querySelectorAll("li:not(.line)")].map(({ product }) =>
    [product.product_id, product.caption, ...about.entities.map((entity) => product.tags[entity] || "")]);
  const table = [["product_id", "caption", ...about.entities], ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  const link = el("a", { href: URL.createObjectURL(new Blob(["\ufeff" + table + "\r\n"], { type: "text/csv" })), download: "products.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

function showHeading(wanted) {
  const words = wanted.q ? `“${wanted.q}”` : "";
  $("heading").textContent = wanted.photo ? (words ? `Like the photo, but ${words}` : "Like the photo")
    : words || (wanted.tags.length ? "Filtered products" : "All products");
}

function showMessage(text, ways) {
  $("message").replaceChildren(el("strong", {}, text), " ", ...ways);
  $("message").hidden = false;
}

function emptyWays(wanted) {
  const ways = [];
  if (wanted.tags.length) ways.push(el("button", { type: "button", className: "plain", onclick: () => go({ tags: [] }) }, "Clear the filters"));
  if (wanted.photo) ways.push(el("button", { type: "button", className: "plain", onclick: () => go({ photo: null }) }, "Search without the photo"));
  if (wanted.photo || wanted.q || wanted.tags.length) ways.push(el("a", { href: "/" }, "Start again"));
  return ways;
}

function card(product) {
  const tags = Object.values(product.tags).join(" · ");
  return el("li", { product },
    el("a", {
      className: "card", href: addressOf({ ...state(), product: product.product_id }),
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        openProduct(product.product_id);
      },
    },
    el("span", { className: "frame" }, el("img", { src: thumbnail(product.product_id), alt: "", loading: "lazy", decoding: "async" })),
    el("span", { className: "caption", dir: "auto" }, product.caption || product.product_id),
    el("span", { className: "tags", dir: "auto" }, tags)),
    el("button", {
      type: "button", className: "like", title: "Search with this photo",
      "aria-label": `Search with the photo of ${product.caption || product.product_id}`,
      onclick: () => searchWith("product:" + product.product_id),
    }, "More like this"));
}

function searchWith(photo) {
  const typed = $("words").value.trim();
  go({ photo, q: typed === state().q ? "" : typed, product: null });
  scrollTo({ top: 0 });
  $("words").focus({ preventScroll: true });
}

// Photo and words --------------------------------------------------------------------------------------------------------

function showPhotoChip(wanted) {
  const chip = $("photo-chip");
  chip.hidden = !wanted.photo;
  if (!wanted.photo) return chip.replaceChildren();
  chip.replaceChildren(
    el("img", { src: photoAddress(wanted.photo), alt: "", onerror: (event) => { event.target.hidden = true; } }),
    el("button", { type: "button", title: "Remove the photo", "aria-label": "Remove the photo", onclick: () => go({ photo: null }) }, "×"));
}

function showMix(wanted) {
  const mix = $("mix");
  mix.hidden = !(wanted.photo && wanted.q);
  if (mix.hidden) return mix.replaceChildren();
  const chosen = wanted.method || about.methods[0];
  const choices = about.methods.map((name) => {
    const [label, meaning] = METHODS[name] || [name, name];
    return el("label", { title: meaning },
      el("input", { type: "radio", name: "method", value: name, checked: name === chosen, onchange: () => go({ method: name }) }),
      el("span", {}, label));
  });
  mix.replaceChildren(el("fieldset", { className: "segments" }, el("legend", {}, "Photo and words:"), ...choices));
  if (chosen === "slerp") {
    mix.append(el("label", { className: "weight" }, "photo",
      el("input", { type: "range", min: "0", max: "1", step: "0.05", value: wanted.weight, "aria-label": "weight of the words",
        onchange: (event) => go({ weight: event.target.value }, { replace: true }) }), "words"));
  }
}

function showSteps(found) {
  const told = Object.entries(found.steps).filter(([name]) => STEPS[name]).map(([name, value]) =>
    el("div", {}, el("dt", {}, STEPS[name]), el("dd", { dir: "auto" }, typeof value === "string" ? value : Object.values(value).join(", "))))
    .filter((line) => line.lastChild.textContent);
  const place = $("query-photo").querySelector(".steps");
  if (place) place.replaceChildren(...told);
}

// Filters --------------------------------------------------------------------------------------------------------------

function toggled(tags, tag) {
  return tags.includes(tag) ? tags.filter((other) => other !== tag) : [...tags, tag];
}

function showChips(wanted) {
  const chips = wanted.tags.map((tag) => {
    const [entity, ...value] = tag.split(":");
    return el("button", { type: "button", title: "Remove this filter", onclick: () => go({ tags: toggled(state().tags, tag) }) },
      el("small", {}, plainName(entity)), " ", el("bdi", {}, value.join(":") || "none"), el("span", { "aria-hidden": "true" }, "×"));
  });
  if (chips.length) chips.push(el("button", { type: "button", className: "plain", onclick: () => go({ tags: [] }) }, "Clear all"));
  $("chips").replaceChildren(...chips);
  $("open-filters").textContent = wanted.tags.length ? `Filters (${wanted.tags.length})` : "Filters";
}

const unfolded = new Set(); // entities all of whose values are shown
const sought = {}; // entity -> letters typed to find a value

function showFilters(facets, wanted) {
  const focused = document.activeElement?.dataset?.tag;
  const groups = Object.entries(facets).filter(([, counts]) => Object.keys(counts).length)
    .map(([entity, counts]) => filterGroup(entity, counts, wanted));
  $("filters").replaceChildren(
    el("div", { className: "filters-head" }, el("h2", {}, "Filters"),
      el("button", { type: "button", className: "plain close-filters", onclick: () => openFilters(false) }, "Show products")),
    ...groups);
  if (!about.entities.length) $("filters").append(el("p", { className: "soft" }, "This catalogue has no tags to filter by."));
  if (focused) [...$("filters").querySelectorAll("input")].find((input) => input.dataset.tag === focused)?.focus();
}

function filterGroup(entity, counts, wanted) {
  const chosen = new Set(wanted.tags.filter((tag) => tag.startsWith(entity + ":")).map((tag) => tag.slice(entity.length + 1)));
  const values = Object.entries(counts).filter(([value]) => value);
  for (const value of chosen) if (!(value in counts)) values.unshift([value, 0]);
  values.sort(([a], [b]) => chosen.has(b) - chosen.has(a)); // stable: the frequent stay first within both
  const list = el("ul", {});
  const fill = () => {
    const letters = (sought[entity] || "").toLowerCase();
    const fitting = values.filter(([value]) => value.toLowerCase().includes(letters));
    const some = unfolded.has(entity) ? fitting.slice(0, 200) : fitting.slice(0, Math.max(FEW, chosen.size));
    list.replaceChildren(...some.map(([value, count]) => filterValue(entity, value, count, chosen.has(value), wanted)));
    fold.hidden = fitting.length <= FEW;
    fold.textContent = unfolded.has(entity) ? "Show fewer" : `Show all ${fitting.length}`;
  };
  const fold = el("button", { type: "button", className: "plain", onclick: () => {
    if (!unfolded.delete(entity)) unfolded.add(entity);
    fill();
  } });
  const finder = values.length > 3 * FEW ? el("input", { type: "search", placeholder: `Find ${plainName(entity)}`,
    value: sought[entity] || "", "aria-label": `Find ${plainName(entity)}`, oninput: (event) => { sought[entity] = event.target.value; fill(); } }) : null;
  fill();
  return el("fieldset", { className: "filter" }, el("legend", {}, plainName(entity)), finder, list, fold);
}

function filterValue(entity, value, count, checked, wanted) {
  const tag = `${entity}:${value}`;
  const box = el("input", { type: "checkbox", checked, onchange: () => go({ tags: toggled(state().tags, tag) }) });
  box.dataset.tag = tag;
  return el("li", {}, el("label", {}, box, el("bdi", {}, value), el("span", { className: "count" }, count.toLocaleString("en"))));
}

function openFilters(open) {
  document.body.classList.toggle("filtering", open);
  if (open) $("filters").querySelector("input, button")?.focus();
  else $("open-filters").focus();
}

// What the encoder makes of a photo ------------------------------------------------------------------------------------------

function photoPanel(photo, alt) {
  const picture = el("div", { className: "picture" }, el("img", { src: photoAddress(photo), alt }));
  const readings = el("details", { className: "readings", open: matchMedia("(min-width: 801px)").matches },
    el("summary", {}, "Read off the photo"), el("p", { className: "soft" }, "Reading …"));
  const said = el("p", { className: "described", dir: "auto", "aria-live": "polite" });
  const describe = about.captions ? el("button", { type: "button", className: "describe", onclick: async () => {
    describe.disabled = true;
    said.textContent = "Looking …";
    try {
      said.textContent = (await ask("/api/caption", { photo })).caption;
      describe.hidden = true;
    } catch (problem) {
      said.textContent = problem.message;
      describe.disabled = false;
    }
  } }, "Describe this photo") : null;
  ask("/api/read", { photo }).then((found) => showReadings(found, picture, readings))
    .catch((problem) => readings.lastChild.replaceWith(el("p", { className: "soft" }, problem.message)));
  return { picture, facts: el("div", { className: "facts" }, readings, describe, said) };
}

function showReadings(found, picture, place) {
  const entities = Object.keys(found.tags);
  const looked = Object.keys(found.looks);
  if (!entities.length && !looked.length) return place.remove();
  const rows = (entities.length ? entities : looked).map((entity) => readingRow(entity, found, picture));
  place.lastChild.replaceWith(el("ul", {}, ...rows));
  if (looked.length) place.append(el("p", { className: "soft" }, "A guess takes no part in the search. The eye shows the patches that each tag's tokens took."));
}

function readingRow(entity, found, picture) {
  const [best, ...others] = found.tags[entity] || [];
  const hint = others.map((other) => other.value).join(", ");
  const eye = found.looks[entity] ? el("button", { type: "button", className: "eye", "aria-pressed": "false",
    title: `Where it looked for ${plainName(entity)}`, "aria-label": `Where it looked for ${plainName(entity)}`,
    onclick: () => {
      const on = eye.getAttribute("aria-pressed") !== "true";
      for (const other of eye.closest("ul").querySelectorAll(".eye")) other.setAttribute("aria-pressed", "false");
      eye.setAttribute("aria-pressed", String(on));
      showLook(picture, on ? found : null, entity);
      if (on) picture.scrollIntoView({ block: "nearest" }); // on a phone it may be above what is seen
    } }, eyeIcon()) : null;
  const value = best ? el("button", { type: "button", className: "value", title: hint ? `or else: ${hint}` : "", dir: "auto",
    onclick: () => go({ tags: [...new Set([...state().tags, `${entity}:${best.value}`])], product: null }) }, best.value) : null;
  return el("li", {}, el("span", { className: "entity" }, plainName(entity)), value,
    best ? el("span", { className: "count" }, SURE[best.sure]) : null, eye);
}

function eyeIcon() {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: "M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12z" }), svg("circle", { cx: 12, cy: 12, r: 3 }));
}

function showLook(picture, found, entity) {
  picture.querySelector("svg")?.remove();
  if (!found) return;
  const layers = found.looks[entity];
  const [rows, columns] = [layers[0].weights.length, layers[0].weights[0].length];
  const total = layers[0].weights.map((row, y) => row.map((_, x) => layers.reduce((sum, layer) => sum + layer.weights[y][x], 0)));
  const most = Math.max(...total.flat());
  const image = picture.querySelector("img");
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const [left, top, right, bottom] = found.seen;
  const [across, down] = [((right - left) * width) / columns, ((bottom - top) * height) / rows];
  const shade = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "look", role: "img",
    "aria-label": `patches chosen for ${plainName(entity)}` });
  const lit = svg("g", { class: "lit" });
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const place = { x: left * width + x * across, y: top * height + y * down, width: across, height: down };
      shade.append(svg("rect", { ...place, class: "shade", "fill-opacity": (SHADE * (1 - total[y][x] / most)).toFixed(3) }));
      if (total[y][x] > 0.25 * most) lit.append(svg("rect", { ...place, class: "frame" }));
    }
  }
  shade.append(lit);
  picture.append(shade);
}

function showQueryPhoto(wanted) {
  const place = $("query-photo");
  place.hidden = !wanted.photo;
  if (!wanted.photo) { place.dataset.photo = ""; return place.replaceChildren(); }
  if (place.dataset.photo === wanted.photo) return place.querySelector(".steps").replaceChildren();
  place.dataset.photo = wanted.photo;
  const { picture, facts } = photoPanel(wanted.photo, "the photo you search with");
  place.replaceChildren(picture, facts, el("dl", { className: "steps" }));
}

// A product ------------------------------------------------------------------------------------------------------------

let opened = null;

async function showProduct(id) {
  const dialog = $("product");
  if (id === opened) return;
  opened = id;
  if (!id) return dialog.close();
  dialog.replaceChildren(el("p", { className: "soft" }, "Loading …"));
  if (!dialog.open) dialog.showModal();
  try {
    const [product, alike] = await Promise.all([ask("/api/product", { id }), ask("/api/search", { photo: "product:" + id, k: 9 })]);
    if (opened === id) fillProduct(dialog, product, alike.products.slice(0, 8));
  } catch (problem) {
    if (opened === id) dialog.replaceChildren(closeButton(), el("p", { className: "message" }, problem.message));
  }
}

function closeButton() {
  return el("button", { type: "button", className: "close", "aria-label": "Close", onclick: closeProduct }, "×");
}

function fillProduct(dialog, product, alike) {
  const photo = "product:" + product.product_id;
  const { picture, facts } = photoPanel(photo, product.caption);
  const tags = Object.entries(product.tags).map(([entity, value]) => el("div", {}, el("dt", {}, plainName(entity)),
    el("dd", {}, /^https?:\/\//.test(value) ? el("a", { href: value, rel: "noreferrer", target: "_blank" }, "Open in the shop")
      : el("button", { type: "button", className: "value", title: "Filter by it", dir: "auto",
        onclick: () => go({ tags: [...new Set([...state().tags, `${entity}:${value}`])], product: null }) }, value))));
  const similar = alike.map((other) => el("li", {}, el("button", { type: "button", title: other.caption,
    onclick: () => openProduct(other.product_id) }, el("img", { src: thumbnail(other.product_id), alt: other.caption }))));
  dialog.replaceChildren(closeButton(),
    el("div", { className: "sheet" }, picture,
      el("div", { className: "about" },
        el("h2", { dir: "auto" }, product.caption || product.product_id),
        el("p", { className: "soft" }, el("bdi", {}, product.product_id)),
        el("dl", { className: "tag-list" }, ...tags),
        el("div", { className: "actions" },
          el("button", { type: "button", className: "go", onclick: () => searchWith(photo) }, "Search with this photo"),
          el("button", { type: "button", onclick: copyLink }, "Copy link")),
        facts)),
    similar.length ? el("section", { className: "similar" }, el("h3", {}, "Similar products"), el("ul", {}, ...similar)) : null);
  dialog.scrollTop = 0;
}

// Photos from the user ---------------------------------------------------------------------------------------------------

async function takePhoto(file) {
  if (!file) return;
  const number = (uploading = Symbol());
  say("Sending the photo …");
  try {
    const body = await shrunk(file);
    const found = await ask("/api/photos", null, { method: "POST", body, headers: { "Content-Type": body.type || "application/octet-stream" } });
    if (number !== uploading) return;
    $("said").classList.remove("shown");
    go({ photo: found.photo, product: null });
    $("words").focus({ preventScroll: true });
  } catch (problem) {
    if (number === uploading) say(problem.message);
  }
}

// Large photos are made smaller here already: less to send from a phone, and places and names in the file stay at home.
async function shrunk(file) {
  const SIDE = 1024;
  const picture = await createImageBitmap(file).catch(() => null);
  if (!picture && /hei[cf]/i.test(file.type + file.name)) throw new Error(HEIC);
  if (!picture || Math.max(picture.width, picture.height) <= SIDE) return file;
  const scale = SIDE / Math.max(picture.width, picture.height);
  const canvas = el("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  const paint = canvas.getContext("2d");
  paint.fillStyle = "white";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  paint.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return (await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9))) || file;
}

const photoIn = (transfer) => [...(transfer?.files || [])].find((file) => file.type.startsWith("image/") || /\.hei[cf]$/i.test(file.name));
const isAddress = (text) => /^(https?:|data:image)\S+$/.test(text.trim());
const ADDRESS = "This page fetches nothing from other sites. Save the picture first, then choose or drop the file.";
const HEIC = "This browser cannot open HEIC photos. Send a JPEG, or take a screenshot of the photo and send that.";
let ours = false; // whether what is dragged is a part of this page

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied");
  } catch {
    say("Copying is not allowed here; the address bar holds the link.");
  }
}

// Keys -----------------------------------------------------------------------------------------------------------------

const typing = (node) => node.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select");

function moveInGrid(event) {
  const cards = [...document.querySelectorAll(".grid .card")];
  const place = cards.indexOf(document.activeElement);
  if (place < 0) return;
  const top = cards[0].getBoundingClientRect().top;
  const columns = cards.findIndex((node) => node.getBoundingClientRect().top > top + 5);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns < 0 ? 1 : columns, ArrowUp: columns < 0 ? -1 : -columns };
  const next = cards[place + steps[event.key]];
  if (!steps[event.key] || !next) return;
  event.preventDefault();
  next.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !typing(event.target) && !$("product").open) {
    event.preventDefault();
    $("words").select();
    $("words").focus();
  } else if (event.key === "Escape" && document.body.classList.contains("filtering")) openFilters(false);
  else if (event.key === "ArrowDown" && event.target === $("words")) {
    event.preventDefault();
    document.querySelector(".grid .card")?.focus();
  } else if (event.key.startsWith("Arrow")) moveInGrid(event);
});

// Start ----------------------------------------------------------------------------------------------------------------

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  go({ q: $("words").value.trim(), product: null });
  scrollTo({ top: 0 });
});
$("words").addEventListener("search", () => { if (!$("words").value && state().q) go({}); });
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => { takePhoto($("file").files[0]); $("file").value = ""; });
$("open-filters").addEventListener("click", () => openFilters(true));
$("copy").addEventListener("click", copyLink);
$("product").addEventListener("cancel", (event) => { event.preventDefault(); closeProduct(); });
$("product").addEventListener("close", () => { // a browser may close it by itself; the event may come when it is open again
  if (!$("product").open) closeProduct();
});
$("product").addEventListener("click", (event) => { if (event.target === $("product")) closeProduct(); });
$("save").addEventListener("click", saveTable);
document.addEventListener("paste", (event) => {
  const file = photoIn(event.clipboardData);
  if (file) takePhoto(file);
  else if (isAddress(event.clipboardData.getData("text"))) say(ADDRESS);
});
document.addEventListener("dragstart", () => { ours = true; });
document.addEventListener("dragend", () => { ours = false; });
document.addEventListener("dragover", (event) => {
  if (ours) return;
  event.preventDefault();
  $("drop").hidden = false;
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  if (ours) return;
  event.preventDefault();
  $("drop").hidden = true;
  const file = photoIn(event.dataTransfer);
  if (file) takePhoto(file);
  else say(event.dataTransfer.types.includes("text/uri-list") ? ADDRESS : "That was no photo; drop a JPEG, PNG or WebP file.");
});
history.scrollRestoration = "manual";
addEventListener("popstate", () => render({ back: true }));
render();
