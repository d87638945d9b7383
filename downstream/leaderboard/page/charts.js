/* Parts of drawings: frames, names beside points, numbers below. */

const COLORS = 8;
const color = (place) => `var(--series-${(place % COLORS) + 1})`;
const NAMES = 150; // pixels beside a drawing that names take
const LINE = 15; // pixels from one name to the next
const NAMED = 40; // points that get a name

/** Heights from 0 to 1, moved until neighbours are `gap` apart, in their own order. */
function spread(heights, gap) {
  const order = heights.map((_, i) => i).sort((one, two) => heights[one] - heights[two]);
  const moved = [...heights];
  order.forEach((i, place) => {
    if (place) moved[i] = Math.max(moved[i], moved[order[place - 1]] + gap);
  });
  order.reverse().forEach((i, place) => {
    moved[i] = Math.min(moved[i], place ? moved[order[place - 1]] - gap : 1);
  });
  return moved;
}

/** The smallest and the largest, with some room. */
function extent(values, room = 0.06) {
  const known = values.filter((value) => Number.isFinite(value));
  if (!known.length) return [0, 1];
  const low = known.reduce((one, two) => Math.min(one, two));
  const high = known.reduce((one, two) => Math.max(one, two));
  const more = high > low ? room * (high - low) : Math.abs(high) * 0.1 || 0.5;
  return [low - more, high + more];
}

/** So high that each name has its line. */
const tall = (names, least = 340) => Math.max(least, LINE * Math.min(names, NAMED) + 90);

/** Of many points the first in line and the rest by height: those that get a name. */
function named(points) {
  if (points.length <= NAMED) return points;
  return [...points]
    .sort((one, two) => Boolean(two.first) - Boolean(one.first) || two.y - one.y)
    .slice(0, NAMED);
}

/** Names to the right of a frame, with lines that lead to their points ({x, y, label}). */
function namesBeside(points, { x: [, right], y: [low, high], height, reach }) {
  const own = named(points);
  const heights = spread(
    own.map((p) => (p.y - low) / (high - low)),
    LINE / (height - 70),
  );
  const placed = own.map((p, i) => ({ ...p, at: low + heights[i] * (high - low) }));
  return [
    Plot.link(placed, {
      x1: "x",
      y1: "y",
      x2: () => right,
      y2: "at",
      stroke: "var(--faint)",
      strokeWidth: 0.8,
    }),
    Plot.text(placed, {
      x: () => right,
      y: "at",
      dx: 6,
      text: (p) => plain(p.label),
      textAnchor: "start",
      lineWidth: reach / 11,
      textOverflow: "ellipsis",
      fill: "var(--text)",
      clip: false,
    }),
  ];
}

/** Room for names beside a drawing. */
const reachOf = (width) => (width < 560 ? 110 : NAMES);

/** Points with their intervals; twins are triangles, and what is `first` is filled. */
function dots(points) {
  const color = (p) => (p.kind === "twin" ? "var(--muted)" : "var(--accent)");
  const interval = { stroke: "var(--muted)" };
  return [
    Plot.link(
      points.filter((p) => p.low !== undefined),
      { x1: "x", x2: "x", y1: "low", y2: "high", ...interval },
    ),
    Plot.link(
      points.filter((p) => p.left !== undefined),
      { x1: "left", x2: "right", y1: "y", y2: "y", ...interval },
    ),
    Plot.dot(points, {
      x: "x",
      y: "y",
      r: 4.5,
      strokeWidth: 1.5,
      stroke: color,
      fill: (p) => (p.first ? "var(--accent)" : "var(--page)"),
      symbol: (p) => (p.kind === "twin" ? "triangle" : "circle"),
      title: (p) => `${plain(p.label)}: ${p.y.toFixed(1)}`,
    }),
  ];
}

/** A drawing with the page's margins and letters; `about` is what a screen reader says of it. */
function drawn(about, options, marks) {
  const svg = Plot.plot({
    marginLeft: 48,
    marginBottom: 44,
    marginTop: 26,
    grid: true,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    ...options,
    marks,
  });
  for (const group of svg.querySelectorAll("[aria-label]")) {
    // which has no role, and so may have no name
    group.dataset.mark = group.getAttribute("aria-label");
    group.removeAttribute("aria-label");
    group.removeAttribute("aria-description");
  }
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", plain(about));
  return svg;
}

/** A legend of signs: texts with a small drawing in front. */
function legend(items) {
  return el(
    "ul",
    { class: "legend" },
    items.map(([kind, text]) =>
      el("li", {}, el("span", { class: `sign ${kind}`, "aria-hidden": "true" }), text),
    ),
  );
}

/** Training curves of one row's runs: a small drawing a measure. */
function curvesOf(runs) {
  if (!runs.length) return null;
  const names = [...new Set(runs.flatMap(({ curves }) => curves.map((curve) => curve.name)))];
  const pointsOf = (name) =>
    runs.flatMap(({ seed, curves }) =>
      curves
        .filter((curve) => curve.name === name)
        .flatMap((curve) => curve.points.map(([x, y]) => ({ x, y, seed: `seed ${seed}` }))),
    );
  const moves = (name) => new Set(pointsOf(name).map((p) => p.x)).size > 1;
  const once = names
    .filter((name) => !moves(name))
    .map((name) => [
      name,
      pointsOf(name)
        .map((p) => `${p.y} (${p.seed})`)
        .join(", "),
    ]);
  return [
    once.length ? facts(once) : null,
    el(
      "div",
      { class: "curves" },
      names.filter(moves).map((name) => {
        const points = pointsOf(name);
        const options = {
          width: 300,
          height: 190,
          x: { label: "images seen", ticks: 4, tickFormat: "~s" },
          y: { label: null, ticks: 4 },
        };
        return el(
          "figure",
          {},
          el("figcaption", {}, name),
          drawn(`${name} against training images seen`, options, [
            Plot.line(points, { x: "x", y: "y", z: "seed", stroke: "var(--accent)", strokeWidth: 1.5 }),
            Plot.dot(points, {
              x: "x",
              y: "y",
              r: 2.5,
              fill: "var(--accent)",
              title: (p) => `${p.seed}: ${p.y}`,
            }),
          ]),
          unfolded("Numbers", () =>
            tabulated(
              name,
              ["seed", "images", "value"],
              points.map((p) => [p.seed, String(p.x), String(p.y)]),
            ),
          ),
        );
      }),
    ),
  ];
}

/**
 * One figure: controls, a drawing, its numbers. `draw(width)` returns {about, node, table: [heads, rows], note},
 * or the text that says why there is nothing to draw.
 */
function makeFigure(title, controls, draw) {
  const id = `figure-${title.toLowerCase().replace(/\W+/g, "-")}`;
  const place = el("div", { class: "drawing" });
  const note = el("p", { class: "muted" });
  const numbers = el("details", { class: "numbers" }, el("summary", {}, "Numbers"));
  const node = el(
    "section",
    { class: "figure", "aria-labelledby": id },
    el("h3", { id }, title),
    el("div", { class: "controls" }, controls),
    place,
    note,
    numbers,
  );
  let table = null;
  const tabulate = () => {
    if (numbers.open && table)
      numbers.replaceChildren(numbers.firstChild, scrolling(`Numbers: ${title}`, tabulated("", ...table)));
  };
  numbers.addEventListener("toggle", tabulate);

  function update(width = Math.max(280, Math.min(node.clientWidth || 800, 1100))) {
    const made = draw(width);
    const empty = typeof made === "string";
    place.replaceChildren(...(empty ? [el("p", { class: "empty" }, made)] : [made.node].flat()));
    note.textContent = empty ? "" : plain(made.note ?? "");
    numbers.hidden = empty;
    table = empty ? null : made.table;
    tabulate();
  }
  return { node, update };
}

/* What figures ask of a board. */

/** What a value is multiplied by to be read: fractions are in %. */
const scale = (unit) => (unit === "fraction" ? 100 : 1);

const axis = (column) =>
  plain(`${column.metric}, ${inUnit(column.unit)}${column.lower ? " (less is better)" : ""}`);
const cellOf = (row, place) => row.cells.find((cell) => cell.column === place);
const withEncoder = (rows) => rows.filter((row) => row.kind !== "blind");

/** Names that tell rows apart, where several sections have one of a name. */
function names(rows) {
  const count = new Map();
  for (const row of rows) count.set(row.label, (count.get(row.label) ?? 0) + 1);
  const told = (row) =>
    count.get(row.label) > 1 && row.group !== null ? `${row.label} [${row.group + 1}]` : row.label;
  return new Map(rows.map((row) => [row, told(row)]));
}

/** Choices of a board's columns. */
function columnOptions(board, keep = () => true) {
  return board.columns.flatMap((column, place) =>
    keep(column) ? [[String(place), columnName(column)]] : [],
  );
}

/** A score with its interval, as a reader sees it; undefined where the row has none. */
function scoreOf(board, row, place) {
  const cell = cellOf(row, place);
  if (!cell) return undefined;
  const by = scale(board.columns[place].unit);
  const end = (value) => (value === undefined ? undefined : by * value);
  return { value: by * cell.value, low: end(cell.low), high: end(cell.high) };
}
