/* What two rows differ in, class by class. */

const CLASS = /^(.+)_(\d+)$/;
const LONGEST = 28; // letters of a name beside a bar; the table below has all

/** Columns that come with scores of single classes, and where these stand. */
function classColumns(board) {
  const made = board.columns.map((column, place) => ({
    place,
    name: columnName(column),
    classes: column.beside
      .map((each, i) => ({ i, unit: each.unit, called: each.class, found: CLASS.exec(each.metric) }))
      .filter(({ found }) => found),
  }));
  return made.filter(({ classes }) => classes.length > 1);
}

function classesFigure(board, rows) {
  const columns = classColumns(board);
  const title = "Differences by class";
  if (!columns.length)
    return makeFigure(title, null, () => "No record of this board holds scores of single classes.");
  const state = { task: "0", one: null, two: null };
  const controls = el("div", { class: "controls" });
  const figure = makeFigure(title, controls, (width) => {
    const column = columns[state.task];
    const own = rows().filter((row) => evaluationsOf(board, row, column).length);
    if (own.length < 2) {
      controls.replaceChildren();
      return "Fewer than two of the rows shown have scores of single classes.";
    }
    const called = names(own);
    const options = own.map((row) => [String(board.rows.indexOf(row)), called.get(row)]);
    choosePair(state, own, options);
    offerPair(controls, columns, options, state, figure);
    return drawClasses(board, column, board.rows[state.one], board.rows[state.two], called, width);
  });
  return figure;
}

/** The evaluations of a row that hold scores of a column's classes. */
function evaluationsOf(board, row, { place, classes }) {
  return board.behind[row.behind].evaluations.filter(
    (e) => e.column === place && classes.some(({ i }) => e.beside[i] !== null),
  );
}

/** Keep two rows that are shown: the first one, and the random twin or the next. */
function choosePair(state, rows, options) {
  const keys = options.map(([key]) => key);
  if (!keys.includes(state.one)) state.one = keys[0];
  if (!keys.includes(state.two) || state.two === state.one) {
    const random = rows.findIndex(
      (row, i) => row.kind === "twin" && row.label.startsWith("random") && keys[i] !== state.one,
    );
    state.two = random >= 0 ? keys[random] : keys.find((key) => key !== state.one);
  }
}

/** Offer the choices anew, since the rows shown may be others; the focus stays where it was. */
function offerPair(controls, columns, options, state, figure) {
  const pick = (key) => (value) => {
    state[key] = value;
    figure.update();
  };
  const focused = [...controls.querySelectorAll("select")].indexOf(document.activeElement);
  controls.replaceChildren(
    choice(
      "Task",
      columns.map(({ name }, i) => [String(i), name]),
      state.task,
      pick("task"),
    ),
    choice("Row", options, state.one, pick("one")),
    choice("minus", options, state.two, pick("two")),
  );
  if (focused >= 0) controls.querySelectorAll("select")[focused].focus();
}

/** By class the difference of means, and of each seed that both have; the largest first. */
function differences(mine, others, classes) {
  const made = classes.map(({ i, unit, called, found }) => {
    const known = (evaluations) => evaluations.filter((e) => e.beside[i] !== null);
    const [one, two] = [known(mine), known(others)];
    if (!one.length || !two.length) return null;
    const average = (evaluations) => mean(evaluations.map((e) => e.beside[i]));
    const partners = one.map((e) => [e, two.find((other) => other.seed === e.seed && other.draw === e.draw)]);
    return {
      name: called ? `${called} (${found[2]})` : `${found[1]} ${found[2]}`,
      diff: scale(unit) * (average(one) - average(two)),
      seeds: partners
        .filter(([, other]) => other)
        .map(([e, other]) => scale(unit) * (e.beside[i] - other.beside[i])),
    };
  });
  return made.filter(Boolean).sort((one, two) => two.diff - one.diff);
}

function drawClasses(board, column, one, two, called, width) {
  const made = differences(
    evaluationsOf(board, one, column),
    evaluationsOf(board, two, column),
    column.classes,
  );
  if (!made.length) return "These two rows have no class in common.";
  const longest = Math.max(...made.map((p) => Math.min(p.name.length, LONGEST)));
  const ticks = made.flatMap((p) => p.seeds.map((diff) => ({ name: p.name, diff })));
  const told = (diff) => signed((diff > 0 ? "+" : "") + diff.toFixed(1));
  const label = plain(`${called.get(one)} − ${called.get(two)}, points`);
  const svg = drawn(
    `${label}, ${made.length} classes`,
    {
      width,
      height: 20 * made.length + 70,
      marginLeft: Math.min(Math.max(90, 7 * longest + 16), width / 3),
      marginRight: 60,
      x: { label, domain: extent([0, ...made.map((p) => p.diff), ...ticks.map((p) => p.diff)]) },
      y: { type: "band", domain: made.map((p) => p.name), label: null, tickFormat: (name) => cut(plain(name), LONGEST), tickSize: 0 },
    },
    [
      Plot.ruleX([0], { stroke: "var(--muted)" }),
      Plot.ruleY(made, {
        x1: 0,
        x2: "diff",
        y: "name",
        stroke: (p) => (p.diff < 0 ? "var(--negative)" : "var(--positive)"),
        strokeWidth: 5,
        strokeOpacity: 0.55,
      }),
      Plot.tickX(ticks, { x: "diff", y: "name", inset: 4, stroke: "var(--text)" }),
      Plot.text(made, {
        y: "name",
        frameAnchor: "right",
        textAnchor: "start",
        dx: 8,
        text: (p) => told(p.diff),
        fill: "var(--text)",
        fontVariant: "tabular-nums",
      }),
    ],
  );
  const table = [
    ["class", "difference", "by seed"],
    made.map((p) => [p.name, told(p.diff), p.seeds.map((diff) => signed(diff.toFixed(1))).join(", ")]),
  ];
  const note =
    "Bars are differences of means over seeds; ticks are seeds that both rows have. Classes are not tested: single ones differ by chance.";
  return { node: svg, table, note };
}
