/* The table of scores: columns, cells with their intervals, order, what is shown. */

/** Columns that say something of the whole row. */
function summaryColumns(board) {
  const behind = (row) => board.behind[row.behind];
  const effort = (row) => behind(row).effort ?? {};
  const column = (id, head, about, value, text, more = {}) => ({
    id: `about-${id}`,
    head: [head],
    about,
    value,
    text,
    ...more,
  });
  const made = [
    column(
      "n",
      "n",
      "pretraining seeds",
      (row) => seedsOf(row),
      (row) => row.seeds,
    ),
    column(
      "images",
      "images seen",
      "training images that pretraining took, repetitions counted",
      (row) => behind(row).images_seen,
      (row) => counted(behind(row).images_seen),
      { lower: true, hidden: true },
    ),
    column(
      "flops",
      "FLOPs",
      "multiply-adds × 2 of pretraining, mean over seeds",
      (row) => effort(row).flops ?? null,
      (row) => counted(effort(row).flops),
      { lower: true, hidden: true },
    ),
    column(
      "time",
      "time",
      "wall time of pretraining, mean over seeds",
      (row) => effort(row).seconds ?? null,
      (row) => lasted(effort(row).seconds),
      { lower: true, hidden: true },
    ),
    column(
      "parameters",
      "parameters",
      "of the encoder",
      (row) => behind(row).parameters || null,
      (row) => counted(behind(row).parameters || null),
      { lower: true, hidden: true },
    ),
  ];
  if (board.rows.some((row) => row.gain !== null)) {
    made.splice(
      1,
      0,
      column(
        "gain",
        "gain",
        "mean share of the gap from random (0 %) to supervised (100 %)",
        (row) => row.gain,
        (row) => (row.gain === null ? "" : `${signed((100 * row.gain).toFixed(0))} %`),
      ),
    );
  }
  if (board.rows.some((row) => row.rank !== null)) {
    made.splice(
      1,
      0,
      column(
        "rank",
        "rank",
        "average rank within its section: over columns of a data set, then over data sets",
        (row) => row.rank,
        (row) => (row.rank === null ? "" : row.rank.toFixed(1)),
        { lower: true },
      ),
    );
  }
  return made;
}

const seedsOf = (row) => Math.max(0, ...row.cells.map((cell) => cell.seeds.length));

/** Columns of tasks under protocols. */
function scoreColumns(board) {
  return board.columns.map((column, place) => {
    const cells = new Map();
    for (const row of board.rows) {
      const cell = row.cells.find((each) => each.column === place);
      if (cell) cells.set(row, cell);
    }
    return {
      id: `score-${place}`,
      place,
      column,
      cells,
      head: headLines(column),
      about: `${columnName(column)}: ${columnFacts(column)}`,
      lower: column.lower,
      value: (row) => cells.get(row)?.value ?? null,
    };
  });
}

/** A head in few lines: number and images, task and mode, protocol where it must be told, metric. */
function headLines({ head }) {
  const rest = [...head];
  const first = [/^\(\d+\)$/.test(rest[0]) ? rest.shift() : ""];
  const metric = rest.pop();
  const mode = rest.findIndex((line) => line === "frozen" || line === "tuned");
  first.push(...rest.slice(0, mode - 1));
  return [
    first.filter(Boolean).join(" "),
    rest.slice(mode - 1, mode + 1).join(" "),
    ...rest.slice(mode + 1),
    metric,
  ].filter(Boolean);
}

/** What the bars of a column reach from and to, with some room for their dots. */
function domainOf(cells) {
  let [low, high] = [Infinity, -Infinity];
  for (const { value, low: from = value, high: to = value } of cells) {
    low = Math.min(low, from);
    high = Math.max(high, to);
  }
  const room = high > low ? 0.04 * (high - low) : 0.5;
  return [low - room, high + room];
}

/** The cell of a score: as the tables write it, with a bar of its interval below. */
function scoreCell(definition, row) {
  const cell = definition.cells.get(row);
  if (!cell) return el("td", { class: definition.id }, el("span", { class: "none" }, "–"));
  const [value, interval = ""] = cell.text.split(/(?=±| [+[])/, 2);
  const td = el(
    "td",
    { class: `score ${definition.id}${cell.best ? " best" : ""}` },
    el("span", {}, signed(value)),
    el(
      "span",
      { class: "half" },
      interval,
      cell.mark,
      cell.notes ? el("sup", {}, cell.notes) : "",
    ),
    cell.ranks ? el("span", { class: "ranks" }, cell.ranks) : "",
  );
  if (cell.low === undefined) td.classList.add("point");
  else if (cell.over === "images") td.classList.add("images");
  return td;
}

/** Where value and interval lie on a column's bar, as custom properties. */
function bar([low, high], cell) {
  const share = (value) => `${((100 * (value - low)) / (high - low)).toFixed(1)}%`;
  return `--at:${share(cell.value)};--low:${share(cell.low ?? cell.value)};--high:${share(cell.high ?? cell.value)}`;
}

/** Draw the bars of a column anew, between the ends of what is shown of it. */
function drawBars(definition, rows, elements) {
  const cells = rows.map((row) => [row, definition.cells.get(row)]).filter(([, cell]) => cell);
  const domain = domainOf(cells.map(([, cell]) => cell));
  if (definition.domain?.join() === domain.join() && definition.drawn >= cells.length) return;
  Object.assign(definition, { domain, drawn: cells.length });
  for (const [row, cell] of cells) elements.get(row).cells[definition.cell].style.cssText = bar(domain, cell);
}

/** One row: a button that opens its detail, then its cells. */
function rowOf(board, columns, row, open) {
  const name = el(
    "button",
    { type: "button", class: "name", "aria-haspopup": "dialog", on: { click: () => open(row) } },
    breakable(row.label),
  );
  const kind =
    row.kind === "pretext" ? null : el("span", { class: "chip" }, row.kind === "twin" ? "twin" : "blind");
  const remark = row.remark ? el("small", {}, row.remark) : null;
  return el(
    "tr",
    { class: row.kind },
    el("th", { scope: "row" }, name, kind, remark),
    columns.map((definition) =>
      definition.column
        ? scoreCell(definition, row)
        : el("td", { class: `summary ${definition.id}` }, definition.text(row)),
    ),
  );
}

/** The head of a column: a button that sorts by it. */
function headOf(definition, sort) {
  const button = el(
    "button",
    { type: "button", title: definition.about, on: { click: () => sort(definition) } },
    definition.head.map((line) => el("span", {}, breakable(line))),
    el("span", { class: "order", "aria-hidden": "true" }),
  );
  return el("th", { scope: "col", class: definition.id, "aria-sort": "none" }, button);
}

/** Rows by a column's value, the best first or last; those without one at the end, either way. */
function ordered(rows, { definition, worst }) {
  if (!definition) return rows;
  const sign = (definition.lower ? 1 : -1) * (worst ? -1 : 1);
  const known = rows.filter((row) => definition.value(row) !== null);
  known.sort((one, two) => sign * (definition.value(one) - definition.value(two)));
  return [...known, ...rows.filter((row) => definition.value(row) === null)];
}

/** A table of one board. `show` lays out some of its rows and columns again; elements are made once. */
function makeTable(board, { open, sorted }) {
  const columns = [...summaryColumns(board), ...scoreColumns(board)];
  columns.forEach((definition, place) => {
    definition.cell = place + 1;
  });
  const heads = new Map(columns.map((definition) => [definition, headOf(definition, sorted)]));
  const rows = new Map(board.rows.map((row) => [row, rowOf(board, columns, row, open)]));
  const hiding = el("style");
  const table = el(
    "table",
    { class: "scores" },
    el("caption", {}, [board.title, board.caption].filter(Boolean).join(" · ")),
    el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "corner" }, "Row"), [...heads.values()])),
  );
  table.addEventListener("keydown", (event) => step(event, table));

  function show(sections, visible, order) {
    hiding.textContent = columns
      .filter((c) => !visible.has(c))
      .map((c) => `.scores .${c.id}{display:none}`)
      .join("");
    for (const [definition, head] of heads) {
      const up = definition.lower !== Boolean(order.worst);
      head.setAttribute(
        "aria-sort",
        definition === order.definition ? (up ? "ascending" : "descending") : "none",
      );
    }
    const shownRows = sections.flatMap(({ own }) => own);
    for (const definition of visible) if (definition.column) drawBars(definition, shownRows, rows);
    for (const body of [...table.tBodies]) body.remove();
    for (const { title, own } of sections) {
      const body = el("tbody");
      if (title) {
        const head = el("th", { scope: "rowgroup", colspan: 1 + visible.size }, el("span", {}, title));
        body.append(el("tr", { class: "section" }, head));
      }
      for (const row of own) body.append(rows.get(row));
      table.append(body);
    }
  }
  return { node: el("div", {}, hiding, table), columns, show };
}

/** Arrow keys go from row to row. */
function step(event, table) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by || !event.target.classList.contains("name")) return;
  const names = [...table.querySelectorAll("button.name")];
  const next = names[names.indexOf(event.target) + by];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}
