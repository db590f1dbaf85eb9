// Colours of the catalogue's own words, as far as a browser knows them.
// A browser's brown is a red, and its khaki a yellow.
const OTHERS = { brown: "#7b4a2b", khaki: "#a99a6f", burgundy: "#7b1e3a", camel: "#c19a6b", charcoal: "#3b3f44", cream: "#fff6dc", denim: "#3d5a80", mauve: "#b784a7", mustard: "#d4a017",
  nude: "#e3bc9a", peach: "#ffcba4", rose: "#e8a5b3", rust: "#a5431f", taupe: "#8b7d6b", bronze: "#a97142", copper: "#b87333", metallic: "#aaa9ad" };

// The colour that a tag names, "Navy Blue" or "light grey"; null: none that is known.
export function colourOf(words) {
  const parts = words.toLowerCase().split(/[^a-z]+/).filter(Boolean);
  const tried = [parts.join(""), ...parts];
  return tried.map((word) => OTHERS[word] || (CSS.supports("color", word) && !WORDS.has(word) ? word : null)).find(Boolean) || null;
}

const WORDS = new Set(["inherit", "initial", "unset", "revert", "transparent", "currentcolor", "canvas", "field", "mark", "highlight", ""]);
