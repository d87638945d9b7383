/* One board at a time: what is chosen, and what follows. */

const data = JSON.parse(at("data").textContent);
const FACETS = [
  ["data", "Data set"],
  ["task", "Task"],
  ["mode", "Encoder"],
];

const BRIEF = 300; // letters of a board's text that stand above its table

const state = { board: null, table: null, figures: [], hidden: new Set(), order: {}, wanted: {}, rows: [] };
const detail = makeDetail(data, at("detail"), (row, by) => state.rows[state.rows.indexOf(row) + by]);

/** Show a board from its beginning. */
function open(board) {
  Object.assign(state, { board, order: {}, wanted: {} });
  state.table = makeTable(board, { open: (row) => detail.show(board, row), sorted: sort });
  state.hidden = new Set(state.table.columns.filter((column) => column.hidden));
  at("search").value = "";
  at("scores").replaceChildren(state.table.node);
  at("said").replaceChildren(...said(board));
  at("facets").replaceChildren(...facets(board));
  at("choices").replaceChildren(...choices());
  placeSheets(at("view"), board.view);
  placeSheets(at("published"), board.published);
  at("notes").lastElementChild.replaceChildren(...board.notes.map((note) => el("li", {}, note)));
  state.figures = FIGURES.map((make) => make(board, () => state.rows));
  at("figures").replaceChildren(...state.figures.map((figure) => figure.node));
  update();
}

/** The words that belong to a board. */
function said(board) {
  const words = [];
  if (board.text)
    words.push(
      board.text.length < BRIEF
        ? el("p", {}, board.text)
        : unfolded("About this board", () => el("p", {}, board.text)),
    );
  if (board.command)
    words.push(
      unfolded("The commands that made it", () =>
        el("pre", { tabindex: 0, role: "region", "aria-label": "Commands" }, board.command),
      ),
    );
  return words;
}

/** Choices of rows and columns, where there is something to choose. */
function facets(board) {
  const any = (label) => ["", label];
  const found = [];
  const add = (key, label, options) => {
    if (options.length > 2)
      found.push(
        choice(label, options, "", (value) => {
          state.wanted[key] = value;
          update();
        }),
      );
  };
  add("group", "Section", [any("all"), ...board.groups.map((title, place) => [String(place), title])]);
  const kinds = [...new Set(board.rows.map((row) => row.kind))];
  add("kind", "Rows", [any("all"), ...kinds.map((kind) => [kind, KINDS[kind]])]);
  for (const [key, label] of FACETS) {
    const values = [...new Set(board.columns.map((column) => column[key]))];
    add(key, label, [any("all"), ...values.map((value) => [value, value])]);
  }
  found.push(
    choice(
      "Group by",
      [
        ["section", "section"],
        ["pretext", "pretext task"],
        ["", "nothing"],
      ],
      "section",
      (value) => {
        state.wanted.by = value;
        update();
      },
    ),
  );
  return found;
}

/** A box for each column, and two buttons for all of them. */
function choices() {
  const boxes = state.table.columns.map((column) => {
    const box = el("input", {
      type: "checkbox",
      on: {
        change: () => {
          state.hidden[box.checked ? "delete" : "add"](column);
          update();
        },
      },
    });
    box.checked = !state.hidden.has(column);
    return [
      box,
      el(
        "label",
        {},
        box,
        " ",
        column.column ? columnName(column.column) : `${column.head[0]}: ${column.about}`,
      ),
    ];
  });
  const all = (checked) => () => {
    for (const [place, [box]] of boxes.entries()) {
      box.checked = checked;
      state.hidden[checked ? "delete" : "add"](state.table.columns[place]);
    }
    update();
  };
  const button = (text, act) => el("button", { type: "button", on: { click: act } }, text);
  return [
    el("p", {}, button("All", all(true)), " ", button("None", all(false))),
    el(
      "div",
      { role: "group", "aria-label": "Columns" },
      boxes.map(([, label]) => label),
    ),
  ];
}

/** Best first, then worst first, then as the board has it. */
function sort(definition) {
  const { order } = state;
  if (order.definition !== definition) state.order = { definition, worst: false };
  else state.order = order.worst ? {} : { definition, worst: true };
  update();
}

/** Columns that are shown: chosen, and of the images, tasks and modes that are wanted. */
function visibleColumns() {
  const fits = ({ column }) =>
    !column || FACETS.every(([key]) => !state.wanted[key] || column[key] === state.wanted[key]);
  return new Set(state.table.columns.filter((column) => !state.hidden.has(column) && fits(column)));
}

/** Rows that are shown: found, of the section and kind that are wanted, with a score in a column that is shown. */
function visibleRows(visible) {
  const { board, wanted } = state;
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const places = new Set([...visible].map((column) => column.place));
  const scores = state.table.columns.some((column) => column.column && visible.has(column));
  return board.rows.filter(
    (row) =>
      (!wanted.kind || row.kind === wanted.kind) &&
      (!wanted.group || String(row.group) === wanted.group) &&
      words.every((word) => searched(row).includes(word)) &&
      (!scores || row.cells.some((cell) => places.has(cell.column))),
  );
}

const haystacks = new WeakMap();

/** The text that a search goes through. */
function searched(row) {
  if (!haystacks.has(row)) {
    const { pretext, backbone, input, pretraining, budget, calibration, recipe } =
      state.board.behind[row.behind];
    haystacks.set(
      row,
      [row.label, KINDS[row.kind], pretext, backbone, input, pretraining, budget, calibration, recipe]
        .join(" ")
        .toLowerCase(),
    );
  }
  return haystacks.get(row);
}

/** Rows in sections, each in order. */
function sectionsOf(rows) {
  const { board, order, wanted } = state;
  const by = wanted.by ?? "section";
  if (!by) return [{ title: "", own: ordered(rows, order) }];
  const title =
    by === "pretext"
      ? (row) => board.behind[row.behind].pretext
      : (row) => (row.group === null ? "predictors that see no encoder" : board.groups[row.group]);
  const sections = new Map();
  for (const row of rows) {
    if (!sections.has(title(row))) sections.set(title(row), []);
    sections.get(title(row)).push(row);
  }
  return [...sections].map(([name, own]) => ({ title: name, own: ordered(own, order) }));
}

let waiting = 0;

/** Lay the table out again; figures follow when the browser has time. */
function update() {
  const visible = visibleColumns();
  const sections = sectionsOf(visibleRows(visible));
  state.rows = sections.flatMap(({ own }) => own);
  state.table.show(sections, visible, state.order);
  at("count").textContent =
    `${state.rows.length} of ${state.board.rows.length} rows, ${visible.size} of ${state.table.columns.length} columns`;
  redraw();
}

const ON_PAPER = 540; // pixels of a figure's width, two of which stand side by side
const FIGURES = [stagesFigure, costFigure, tunedFigure, ranksFigure, setsFigure, classesFigure];

/** Draw the figures, one after the other, so that the page stays quick; the table does not wait for their library. */
function redraw() {
  if (!window.Plot) return;
  const turn = ++waiting;
  const left = [...state.figures];
  const next = () => {
    if (turn !== waiting || !left.length) return;
    left.shift().update();
    setTimeout(next);
  };
  setTimeout(next);
}

const THEMES = { automatic: "light dark", light: "light", dark: "dark" };

function nextTheme() {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? names[0];
  const next = names[(names.indexOf(now) + 1) % names.length];
  document.documentElement.dataset.theme = next;
  document.documentElement.style.colorScheme = THEMES[next];
  at("theme").textContent = `Colours: ${next}`;
}

function start() {
  const boards = data.boards;
  const select = at("board");
  for (const [place, board] of boards.entries())
    select.append(new Option(plain(board.title || `board ${place + 1}`), place));
  select.addEventListener("change", () => open(boards[select.value]));
  at("chooser").hidden = boards.length < 2;
  const evaluations = boards.flatMap((board) => board.behind.flatMap((row) => row.evaluations));
  at("extent").textContent =
    `${evaluations.length} scores of ${boards.reduce((sum, board) => sum + board.behind.length, 0)} rows${boards.length > 1 ? ` on ${boards.length} boards` : ""}`;
  at("theme").addEventListener("click", nextTheme);
  at("search").addEventListener("input", update);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", (event) => {
    event.preventDefault();
    open(state.board);
  });
  const columns = at("columns");
  document.addEventListener("click", (event) => {
    if (!columns.contains(event.target)) columns.open = false;
  });
  columns.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && columns.open) {
      columns.open = false;
      columns.firstElementChild.focus();
    }
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      redraw();
    }
  });
  const first = Math.max(
    0,
    boards.findIndex((board) => board.ranked),
  );
  select.value = first;
  open(boards[first]);
  addEventListener("load", redraw);
  addEventListener("beforeprint", () => state.figures.forEach((figure) => figure.update(ON_PAPER)));
  addEventListener("afterprint", redraw);
}

start();
