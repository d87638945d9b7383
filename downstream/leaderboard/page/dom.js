/* Elements. Whatever records say becomes text here, and nothing else. */

const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Text whose characters without a shape (control, direction, zero width) are written out. */
function plain(text) {
  return String(text).replace(UNSEEN, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

/** An element: attributes by name, listeners under `on`; children are nodes, or text. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value === true) {
      made.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, plain(value));
    }
  }
  fill(made, ...children);
  return made;
}

/** Append nodes and texts; what is null or empty is left out. */
function fill(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === "") continue;
    node.append(child instanceof Node ? child : plain(child));
  }
  return node;
}

/** A name that may be broken behind its underscores. */
const breakable = (name) =>
  name.split(/(?<=_)/).flatMap((piece, place) => (place ? [el("wbr"), piece] : [piece]));

const at = (id) => document.getElementById(id);

/** A labelled choice: options are [value, text]. */
function choice(label, options, value, chosen) {
  const select = el("select", { on: { change: () => chosen(select.value) } });
  for (const [key, text] of options) {
    const option = el("option", {}, text);
    option.value = key;
    select.append(option);
  }
  select.value = value;
  return el("label", {}, label, " ", select);
}

/** A table of heads and rows of texts or nodes; the first cell of a row names it. */
function tabulated(caption, heads, rows) {
  const cell = (content, place) =>
    place === 0
      ? el("th", { scope: "row" }, content)
      : el(
          "td",
          { class: typeof content === "string" && /^[+−–-]?[\d.]/.test(content) ? "number" : null },
          content,
        );
  return el(
    "table",
    { class: "small" },
    caption ? el("caption", {}, caption) : null,
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((head) => el("th", { scope: "col" }, head)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map((row) => el("tr", {}, row.map(cell))),
    ),
  );
}

/** A part that makes its content when it is opened. */
function unfolded(summary, make, attributes = {}) {
  const details = el("details", attributes, el("summary", {}, summary));
  details.addEventListener("toggle", () => details.append(make()), { once: true });
  return details;
}
