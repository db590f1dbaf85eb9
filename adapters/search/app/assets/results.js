// Products that a search finds, page after page.

import { NO_FILTERS, addressOf, filtersOf, go, searchOf, state } from "./address.js";
import { colourOf } from "./colours.js";
import { $, about, ask, button, changing, el, isLink, plainName, productCount, say, thumbnail, titleOf, valuesOf } from "./dom.js";
import { fewerFilters, showFilters } from "./filters.js";
import { openProduct } from "./product.js";
import { addPhoto, searchWith, showSteps } from "./query.js";

const PAGE = 24;
const PATIENCE = 700; // milliseconds of a search that nobody needs to be told of
const PAGES_LEFT = 20; // kept for Back
let answer = null; // the newest page of products that is shown
let latest = 0; // number of the newest request; answers to older ones are dropped
let shown = null; // the search whose products are on the page, without the opened product; null after a failure
const left = new Map(); // address -> what a page showed when it was left, for Back

// Shows the products of a search; when they are new, first what changes with them.
export function showProducts(wanted, { back, before }) {
  const key = addressOf({ ...wanted, product: null });
  if (key === shown) return;
  leave();
  shown = key;
  before();
  if (back && left.has(key)) comeBack(wanted, left.get(key));
  else search(wanted);
}

function leave() {
  if (shown === null || !answer) return;
  left.delete(shown); // the newest is kept longest
  left.set(shown, { answer, products: [...$("results").children], scroll: scrollY });
  if (left.size > PAGES_LEFT) left.delete(left.keys().next().value);
}

function comeBack(wanted, page) {
  latest++;
  $("results").removeAttribute("aria-busy");
  $("more").disabled = false;
  $("results").replaceChildren(...page.products);
  showAnswer(wanted, page.answer);
  scrollTo({ top: page.scroll });
}

async function search(wanted, offset = 0) {
  const number = ++latest;
  if (!offset) answer = null;
  const results = $("results");
  results.setAttribute("aria-busy", "true");
  $("more").disabled = true;
  const slow = offset ? null : setTimeout(() => { if (number === latest) $("found").textContent = "Searching …"; }, PATIENCE);
  try {
    const asked = searchOf(wanted);
    asked.set("k", PAGE);
    asked.set("offset", offset);
    const found = await ask("/api/search", asked);
    if (number !== latest) return;
    const added = found.products.map(card);
    changing(() => {
      if (!offset) results.replaceChildren();
      results.append(...added);
      showAnswer(wanted, found);
    });
    if (offset) added[0]?.querySelector("a").focus();
    else if (about.entities.length) suggest(found.facets);
  } catch (problem) {
    if (number !== latest) return;
    if (offset) return say(problem.message); // the products stay, and so does the button
    changing(() => showProblem(wanted, problem));
  } finally {
    clearTimeout(slow);
    if (number === latest) {
      results.removeAttribute("aria-busy");
      $("more").disabled = false;
    }
  }
}

function showProblem(wanted, problem) {
  shown = answer = null;
  $("found").textContent = "";
  $("results").replaceChildren();
  $("more").hidden = true;
  $("query-photo").hidden ||= wanted.photos.length + wanted.minus.length < 2; // else one can be taken out
  showHeading(wanted);
  const again = problem.passing ? [button("plain", "Try again", () => go({}))] : [];
  showMessage(problem.message, [...again, ...emptyWays(wanted)]);
}

// Everything beside the products themselves.
function showAnswer(wanted, found) {
  answer = found;
  $("message").hidden = true;
  $("more").hidden = found.next_offset === null;
  $("more").onclick = () => search(wanted, found.next_offset);
  $("found").replaceChildren(...counted(wanted, found));
  $("save").hidden = !$("results").children.length;
  showHeading(wanted);
  showStart(wanted, found.facets);
  showFilters(found, wanted);
  showSteps(found);
  showLine(found);
  if (!$("results").children.length) showMessage(nothing(wanted, found), [...fewerFilters(found.unfiltered), ...emptyWays(wanted)]);
}

function nothing(wanted, { steps }) {
  const conditions = [...(filtersOf(wanted).length ? ["passes these filters"] : []), ...(steps.only ? [`fits “${steps.only}”`] : [])];
  return `Nothing here ${conditions.join(" and ") || "is what you look for"}.`;
}

function counted(wanted, found) {
  const closely = found.steps.reranked && !wanted.photos.length && !found.steps.reranked.startsWith("0 ") ? [`; looked at closely: ${found.steps.reranked}`] : [];
  const spelling = Object.entries(found.steps.spelling || {})
    .flatMap(([typed, read]) => ["; “", el("bdi", {}, typed), "” read as “", el("bdi", {}, read), "”"]);
  const only = found.steps.only ? ["; only ", el("bdi", {}, found.steps.only)] : [];
  const nearest = found.sorted && found.sorted < found.found ? `the ${found.sorted} nearest of ` : "";
  return [`${nearest}${productCount(found.found)}`, ...only, ...spelling, ...closely];
}

// A line above the first product that does not keep the reference's garment, or else above the weak matches.
function showLine(found) {
  $("results").querySelector(".line")?.remove();
  const items = [...$("results").children];
  const [entity, value] = Object.entries(found.steps.kept || {})[0] || [];
  const keeps = (item) => valuesOf(item.product.tags[entity]).some((own) => valuesOf(value).includes(own));
  const other = entity && items.find((item) => !keeps(item));
  if (other) return other.before(el("li", { className: "line" }, "Not ", el("bdi", {}, valuesOf(value).join(" or ")), ", but near to your wish"));
  const strong = items.findLastIndex((item) => !item.product.weak);
  items[strong + 1]?.before(el("li", { className: "line" }, "Weaker matches"));
}

// Values of tags that say something as a search.
const wordsIn = (facets) => Object.entries(facets).filter(([entity]) => !about.numbers.includes(entity))
  .map(([, counts]) => Object.keys(counts).filter((value) => value)).filter((values) => !values.some(isLink));

function suggest(facets) {
  const values = wordsIn(facets).flatMap((found) => found.slice(0, 100));
  $("suggestions").replaceChildren(...[...new Set(values)].map((value) => el("option", { value })));
}

function showStart(wanted, facets) {
  const fresh = !wanted.q && !wanted.photos.length && !filtersOf(wanted).length;
  $("start").hidden = !fresh;
  if (!fresh) return;
  const examples = wordsIn(facets).filter((found) => found.length).map(([first]) => first).slice(0, 4);
  $("start").replaceChildren(
    el("p", {}, "Say what you look for, or drop a photo of it here. Then say what should differ: “in blue”, “not striped”."),
    el("p", { className: "chips" }, ...examples.map((words) => button("", el("bdi", {}, words), () => go({ q: words })))));
}

function showHeading({ q, photos, ...wanted }) {
  const like = photos.length > 1 ? "Like the photos" : "Like the photo";
  const words = q ? ["“", el("bdi", {}, q), "”"] : [];
  const plain = photos.length ? like : filtersOf(wanted).length ? "Filtered products" : "All products";
  $("heading").replaceChildren(...(!q ? [plain] : photos.length ? [`${like}, but `, ...words] : words));
}

function showMessage(text, ways) {
  $("message").replaceChildren(el("strong", {}, text), " ", ...ways);
  $("message").hidden = false;
}

function emptyWays({ q, photos, ...wanted }) {
  const ways = [];
  const filtered = filtersOf(wanted).length > 0;
  if (filtered) ways.push(button("plain", "Clear the filters", () => go(NO_FILTERS)));
  if (photos.length) ways.push(button("plain", photos.length > 1 ? "Search without the photos" : "Search without the photo", () => go({ photos: [], minus: [] })));
  if (photos.length || q || filtered) ways.push(el("a", { href: "/" }, "Start again"));
  return ways;
}

// Cards ----------------------------------------------------------------------------------------------------------------

function card(product) {
  const id = product.product_id;
  return el("li", { product },
    el("a", {
      className: "card", href: addressOf({ ...state(), product: id }),
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        openProduct(id);
      },
    },
    el("span", { className: "frame" }, el("img", { src: thumbnail(id), alt: "", loading: "lazy", decoding: "async" })),
    el("span", { className: "caption", dir: "auto" }, titleOf(product)),
    tagLine(product.tags)),
    likes("product:" + id, titleOf(product)));
}

// The tags in one line, the colour first, with a spot of it.
function tagLine(tags) {
  const own = valuesOf(tags[about.colour]);
  const spot = own.map(colourOf).find(Boolean);
  const words = Object.entries(tags).filter(([entity]) => entity !== about.colour).flatMap(([, tag]) => valuesOf(tag))
    .filter((value) => !isLink(value));
  const line = el("span", { className: "tags", dir: "auto" }, [own.join(", "), ...words].filter(Boolean).join(" · "));
  if (!spot) return line;
  const mark = el("span", { className: "spot" });
  mark.style.backgroundColor = spot;
  line.prepend(mark);
  return line;
}

// The first photo begins a search; beside others it is more of the same, or less.
function likes(photo, name) {
  if (!state().photos.length) {
    return el("span", { className: "likes" }, button("like", "More like this", () => searchWith(photo),
      { title: "Search with this photo", "aria-label": `More like this: ${name}` }));
  }
  return el("span", { className: "likes" },
    button("like", "More", () => addPhoto(photo, "photos"), { title: "More like this: add it to the photos", "aria-label": `More like ${name}` }),
    button("like", "Less", () => addPhoto(photo, "minus"), { title: "Less like this", "aria-label": `Less like ${name}` }));
}

// Sort -----------------------------------------------------------------------------------------------------------------

export function offerSort() {
  const titled = (entity) => plainName(entity).replace(/^./u, (letter) => letter.toUpperCase());
  const orders = about.numbers.flatMap((entity) => [[entity, `${titled(entity)}, lowest first`], [`-${entity}`, `${titled(entity)}, highest first`]]);
  $("order").append(...[["", "Nearest first"], ...orders].map(([value, name]) => el("option", { value }, name)));
  $("order").parentElement.hidden = !orders.length;
  $("order").addEventListener("change", () => go({ sort: $("order").value }));
}
