/* The figures of a board. Each draws the rows that the table shows. */

/** The score of a row in a column, as a point of which `y` is what a reader sees: % where it is a fraction. */
const scale = (unit) => (unit === "fraction" ? 100 : 1);
const axis = (column) =>
  plain(`${column.metric}, ${inUnit(column.unit)}${column.lower ? " (less is better)" : ""}`);
const cellOf = (row, place) => row.cells.find((cell) => cell.column === place);

/** Names that tell rows apart, where several groups have one of a name. */
function names(board, rows) {
  const count = new Map();
  for (const row of rows) count.set(row.label, (count.get(row.label) ?? 0) + 1);
  return new Map(
    rows.map((row) => [
      row,
      count.get(row.label) > 1 && row.group !== null ? `${row.label} [${row.group + 1}]` : row.label,
    ]),
  );
}

const columnOptions = (board, keep = () => true) =>
  board.columns
    .map((column, place) => [String(place), columnName(column), column])
    .filter(([, , column]) => keep(column))
    .map(([key, text]) => [key, text]);

/** Score by stage. */
function stagesFigure(board, rows) {
  const curves = board.stages;
  const options = curves.map((curve, i) => [String(i), columnName(board.columns[curve.column])]);
  let chosen = 0;
  const figure = makeFigure(
    "Score by stage",
    options.length
      ? choice("Task", options, "0", (value) => {
          chosen = Number(value);
          figure.update();
        })
      : null,
    (width) => {
      if (!curves.length) return "No protocol of this board scores several stages.";
      const { column: place, rows: own } = curves[chosen];
      const column = board.columns[place];
      const shownRows = rows().filter((row) => row.kind !== "blind");
      const called = names(board, shownRows);
      const series = shownRows
        .map((row) => ({ row, curve: own.find((each) => each.behind === row.behind) }))
        .filter((s) => s.curve);
      if (!series.length) return "None of the rows shown has scores of stages here.";
      const stages = [...new Set(series.flatMap(({ curve }) => curve.scores.map(([stage]) => stage)))];
      const points = series.flatMap(({ row, curve }, i) =>
        curve.scores.map(([stage, value]) => ({
          label: called.get(row),
          stage,
          x: stages.indexOf(stage),
          y: scale(column.unit) * value,
          stroke: color(i),
          twin: row.kind === "twin",
          chosen: (cellOf(row, place)?.stages ?? []).includes(stage),
        })),
      );
      const ends = series.map(({ row }) => points.filter((p) => p.label === called.get(row)).at(-1));
      const height = tall(ends.length),
        reach = width < 560 ? 110 : NAMES;
      const frame = {
        x: [-0.15, stages.length - 1 + 0.15],
        y: extent(points.map((p) => p.y)),
        height,
        reach,
      };
      const svg = drawn(
        `Score by stage: ${columnName(column)}, ${series.length} rows`,
        {
          width,
          height,
          marginRight: reach + 10,
          x: {
            domain: frame.x,
            ticks: stages.map((_, i) => i),
            tickFormat: (i) => plain(stages[i] ?? ""),
            label: "stage",
          },
          y: { domain: frame.y, label: axis(column) },
        },
        [
          ...namesBeside(ends, frame),
          ...[false, true].map((twin) =>
            Plot.line(
              points.filter((p) => p.twin === twin),
              {
                x: "x",
                y: "y",
                z: "label",
                stroke: "stroke",
                strokeWidth: 1.6,
                strokeDasharray: twin ? "4 3" : null,
              },
            ),
          ),
          Plot.dot(points, {
            x: "x",
            y: "y",
            r: (p) => (p.chosen ? 4.5 : 2.5),
            fill: (p) => (p.chosen ? p.stroke : "var(--page)"),
            stroke: "stroke",
            title: (p) => `${plain(p.label)}, ${plain(p.stage)}: ${p.y.toFixed(1)}`,
          }),
        ],
      );
      const table = [
        ["row", ...stages],
        series.map(({ row, curve }) => [
          called.get(row),
          ...stages.map((stage) => shown(new Map(curve.scores).get(stage), column.unit)),
        ]),
      ];
      return {
        node: [
          svg,
          legend([
            ["filled", "chosen on val"],
            ["hollow", "other stages"],
            ["dashes", "twins"],
          ]),
        ],
        table,
      };
    },
  );
  return figure;
}

const COSTS = {
  images: ["images seen in pretraining", (behind) => behind.images_seen],
  flops: ["FLOPs of pretraining", (behind) => behind.effort?.flops ?? null],
  seconds: ["seconds of pretraining", (behind) => behind.effort?.seconds ?? null],
  inference: ["FLOPs of the encoder, one image", (behind) => behind.flops || null],
  parameters: ["parameters of the encoder", (behind) => behind.parameters || null],
};

/** What no other point beats on both sides: rising cost, and only what is better than all cheaper ones. */
function front(points, lower) {
  const sign = lower ? -1 : 1;
  const kept = [];
  for (const p of [...points].sort((one, two) => one.x - two.x || sign * (two.y - one.y))) {
    if (!kept.length || sign * p.y > sign * kept.at(-1).y) kept.push(p);
  }
  return kept;
}

/** Score against what pretraining, or the encoder, takes. */
function costFigure(board, rows) {
  const gains = board.rows.some((row) => row.gain !== null)
    ? [["gain", "mean share of the gap from random to supervised"]]
    : [];
  const state = {
    score: gains.length ? "gain" : "0",
    cost: board.behind.some((row) => row.effort?.flops) ? "flops" : "images",
  };
  const pick = (key) => (value) => {
    state[key] = value;
    figure.update();
  };
  const controls = [
    choice("Score", [...gains, ...columnOptions(board)], state.score, pick("score")),
    choice(
      "Against",
      Object.entries(COSTS).map(([key, [text]]) => [key, text]),
      state.cost,
      pick("cost"),
    ),
  ];
  const figure = makeFigure("Score against cost", controls, (width) => {
    const points = costPoints(board, rows(), state);
    const lower = state.score !== "gain" && board.columns[state.score].lower;
    const label = state.score === "gain" ? "share of the gap, %" : axis(board.columns[state.score]);
    const paid = points.filter((p) => p.x > 0);
    const levels = points.filter((p) => p.x === 0);
    if (!paid.length) return "None of the rows shown has this score and this cost.";
    const best = front(
      paid.filter((p) => p.kind === "pretext"),
      lower,
    );
    const logarithmic = Math.max(...paid.map((p) => p.x)) > 4 * Math.min(...paid.map((p) => p.x));
    const height = tall(points.length),
      reach = width < 560 ? 110 : NAMES;
    const [left, right] = extent(
      paid.map((p) => (logarithmic ? Math.log10(p.x) : p.x)),
      0.08,
    );
    const frame = {
      x: logarithmic ? [10 ** left, 10 ** right] : [Math.max(0, left), right],
      height,
      reach,
      y: extent(points.flatMap((p) => [p.y, p.low, p.high])),
    };
    const steps = best.flatMap((p, i) => (i ? [{ x: p.x, y: best[i - 1].y }, p] : [p]));
    if (best.length) steps.push({ x: frame.x[1], y: best.at(-1).y });
    const svg = drawn(
      `${label} against ${COSTS[state.cost][0]}, ${points.length} rows, with the Pareto front`,
      {
        width,
        height,
        marginRight: reach + 10,
        x: {
          type: logarithmic ? "log" : "linear",
          domain: frame.x,
          label: COSTS[state.cost][0],
          tickFormat: "~s",
          ticks: width < 560 ? 3 : 6,
        },
        y: { domain: frame.y, label },
      },
      [
        ...namesBeside(
          [...paid, ...levels.map((p) => ({ ...p, x: frame.x[0] }))].map((p) => ({
            ...p,
            label: p.x === frame.x[0] ? `${p.label} (none)` : p.label,
          })),
          frame,
        ),
        Plot.ruleY(levels, { y: "y", stroke: "var(--muted)", strokeDasharray: "1 3" }),
        Plot.line(steps, { x: "x", y: "y", stroke: "var(--accent)", strokeDasharray: "5 3" }),
        Plot.link(
          paid.filter((p) => p.low !== undefined),
          { x1: "x", x2: "x", y1: "low", y2: "high", stroke: "var(--muted)" },
        ),
        Plot.dot(paid, {
          x: "x",
          y: "y",
          r: 4.5,
          symbol: (p) => (p.kind === "twin" ? "triangle" : "circle"),
          fill: (p) => (best.includes(p) ? "var(--accent)" : "var(--page)"),
          stroke: (p) => (p.kind === "twin" ? "var(--muted)" : "var(--accent)"),
          strokeWidth: 1.5,
          title: (p) => `${plain(p.label)}: ${p.y.toFixed(1)}`,
        }),
      ],
    );
    const table = [
      ["row", COSTS[state.cost][0], label, "on the front"],
      points.map((p) => [p.label, counted(p.x), p.y.toFixed(1), best.includes(p) ? "yes" : ""]),
    ];
    return {
      node: [
        svg,
        legend([
          ["filled", "on the Pareto front of the pretext tasks"],
          ["hollow", "beside it"],
          ["triangle", "twins"],
          ["dotted", "no training: a level"],
        ]),
      ],
      table,
    };
  });
  return figure;
}

function costPoints(board, rows, { score, cost }) {
  const called = names(board, rows);
  return rows
    .filter((row) => row.kind !== "blind")
    .map((row) => {
      const x = COSTS[cost][1](board.behind[row.behind]);
      const about = { label: called.get(row), kind: row.kind, x };
      if (score === "gain") return { ...about, y: row.gain === null ? NaN : 100 * row.gain };
      const cell = cellOf(row, Number(score)),
        by = scale(board.columns[score].unit);
      return {
        ...about,
        y: cell ? by * cell.value : NaN,
        low: cell?.low === undefined ? undefined : by * cell.low,
        high: cell?.high === undefined ? undefined : by * cell.high,
      };
    })
    .filter((p) => p.x !== null && Number.isFinite(p.y));
}

/** Frozen against fine-tuned. */
function tunedFigure(board, rows) {
  const frozen = columnOptions(board, (column) => column.mode === "frozen");
  const tuned = columnOptions(board, (column) => column.mode !== "frozen");
  const alike = tuned.flatMap(([t]) =>
    frozen
      .filter(([f]) => ["data", "task"].every((key) => board.columns[f][key] === board.columns[t][key]))
      .map(([f]) => [f, t]),
  );
  const state = { x: alike[0]?.[0] ?? frozen[0]?.[0], y: alike[0]?.[1] ?? tuned[0]?.[0] };
  const pick = (key) => (value) => {
    state[key] = value;
    figure.update();
  };
  const controls =
    frozen.length && tuned.length
      ? [choice("Frozen", frozen, state.x, pick("x")), choice("Fine-tuned", tuned, state.y, pick("y"))]
      : null;
  const figure = makeFigure("Frozen against fine-tuned", controls, (width) => {
    if (!controls)
      return "This board has not both: protocols that freeze the encoder, and protocols that tune it.";
    const [x, y] = [board.columns[state.x], board.columns[state.y]];
    const own = rows().filter((row) => row.kind !== "blind");
    const called = names(board, own);
    const points = own
      .map((row) => ({ row, one: cellOf(row, Number(state.x)), two: cellOf(row, Number(state.y)) }))
      .filter(({ one, two }) => one && two)
      .map(({ row, one, two }) => ({
        label: called.get(row),
        kind: row.kind,
        x: scale(x.unit) * one.value,
        y: scale(y.unit) * two.value,
        left: scale(x.unit) * (one.low ?? one.value),
        right: scale(x.unit) * (one.high ?? one.value),
        low: scale(y.unit) * (two.low ?? two.value),
        high: scale(y.unit) * (two.high ?? two.value),
      }));
    if (!points.length) return "None of the rows shown has both scores.";
    const height = tall(points.length, 380),
      reach = width < 560 ? 110 : NAMES;
    const frame = {
      x: extent(points.flatMap((p) => [p.left, p.right])),
      y: extent(points.flatMap((p) => [p.low, p.high])),
      height,
      reach,
    };
    const same = x.metric === y.metric && x.data === y.data;
    const ends = [Math.max(frame.x[0], frame.y[0]), Math.min(frame.x[1], frame.y[1])];
    const svg = drawn(
      `Fine-tuned against frozen, ${points.length} rows`,
      {
        width,
        height,
        marginRight: reach + 10,
        x: { domain: frame.x, label: `frozen: ${axis(x)}` },
        y: { domain: frame.y, label: `fine-tuned: ${axis(y)}` },
      },
      [
        same && ends[1] > ends[0]
          ? Plot.link([{}], {
              x1: () => ends[0],
              y1: () => ends[0],
              x2: () => ends[1],
              y2: () => ends[1],
              stroke: "var(--muted)",
              strokeDasharray: "1 3",
            })
          : null,
        ...namesBeside(points, frame),
        Plot.link(points, { x1: "left", x2: "right", y1: "y", y2: "y", stroke: "var(--muted)" }),
        Plot.link(points, { x1: "x", x2: "x", y1: "low", y2: "high", stroke: "var(--muted)" }),
        Plot.dot(points, {
          x: "x",
          y: "y",
          r: 4.5,
          symbol: (p) => (p.kind === "twin" ? "triangle" : "circle"),
          fill: "var(--page)",
          stroke: (p) => (p.kind === "twin" ? "var(--muted)" : "var(--accent)"),
          strokeWidth: 1.5,
          title: (p) => `${plain(p.label)}: ${p.x.toFixed(1)}, ${p.y.toFixed(1)}`,
        }),
      ],
    );
    const table = [
      ["row", `frozen: ${axis(x)}`, `fine-tuned: ${axis(y)}`],
      points.map((p) => [p.label, p.x.toFixed(1), p.y.toFixed(1)]),
    ];
    return {
      node: [
        svg,
        legend([
          ["hollow", "pretext tasks"],
          ["triangle", "twins"],
          ...(same ? [["dotted", "as good tuned as frozen"]] : []),
        ]),
      ],
      table,
    };
  });
  return figure;
}

/** Ranks from 1; equal values share the mean of theirs. */
function places(values) {
  return values.map(
    (value) =>
      values.filter((other) => other < value).length +
      (values.filter((other) => other === value).length + 1) / 2,
  );
}

/** Spearman's ρ; null where one side is constant. */
function spearman(one, two) {
  const [x, y] = [places(one), places(two)];
  const [mx, my] = [mean(x), mean(y)];
  const sum = (of) => x.reduce((total, _, i) => total + of(i), 0);
  const norm = Math.sqrt(sum((i) => (x[i] - mx) ** 2) * sum((i) => (y[i] - my) ** 2));
  return norm > 0 ? sum((i) => (x[i] - mx) * (y[i] - my)) / norm : null;
}

const FEW = 4;

/** How alike tasks order the rows. */
function correlationFigure(board, rows) {
  const figure = makeFigure("Rank correlation between tasks", null, (width) => {
    const own = rows().filter((row) => row.kind === "pretext");
    const columns = board.columns
      .map((column, place) => ({
        column,
        place,
        scores: new Map(
          own.map((row) => [row, cellOf(row, place)?.value]).filter(([, value]) => value !== undefined),
        ),
      }))
      .filter(({ scores }) => scores.size >= FEW);
    if (columns.length < 2) return `There are fewer than two tasks with ${FEW} of the pretext rows shown.`;
    const pairs = columns.flatMap((one, i) =>
      columns.map((two, j) => {
        const common = [...one.scores.keys()].filter((row) => two.scores.has(row));
        const sign = (board.columns[one.place].lower ? -1 : 1) * (board.columns[two.place].lower ? -1 : 1);
        const rho =
          common.length >= FEW
            ? spearman(
                common.map((row) => one.scores.get(row)),
                common.map((row) => two.scores.get(row)),
              )
            : null;
        return { i, j, n: common.length, rho: i === j || rho === null ? null : sign * rho };
      }),
    );
    const words = columns.map(({ column }) =>
      column.head.filter((line) => !/^\(\d+\)$/.test(line)).join(" "),
    );
    const left = width < 560 ? 130 : 275;
    const side = Math.min(46, (width - left - 20) / columns.length);
    const numbered =
      side < 30
        ? (p) => (p.rho === null ? "" : signed(p.rho.toFixed(1)))
        : (p) => (p.rho === null ? "" : signed(p.rho.toFixed(2)));
    const svg = drawn(
      `Spearman's rank correlation between ${columns.length} tasks`,
      {
        width: left + side * columns.length + 10,
        height: side * columns.length + 60,
        marginLeft: left,
        marginTop: 34,
        marginBottom: 10,
        marginRight: 10,
        grid: false,
        x: {
          type: "band",
          domain: columns.map((_, i) => i),
          axis: "top",
          tickFormat: (i) => String(i + 1),
          label: null,
          tickSize: 0,
        },
        y: {
          type: "band",
          domain: columns.map((_, i) => i),
          tickFormat: (i) => `${cut(plain(words[i]), width < 560 ? 16 : 34)}  ${i + 1}`,
          label: null,
          tickSize: 0,
        },
      },
      [
        Plot.cell(
          pairs.filter((p) => p.rho !== null),
          {
            x: "j",
            y: "i",
            inset: 1,
            fill: (p) => (p.rho < 0 ? "var(--negative)" : "var(--positive)"),
            fillOpacity: (p) => 0.06 + 0.5 * Math.abs(p.rho),
            title: (p) => `${plain(words[p.i])} and ${plain(words[p.j])}: ${p.rho.toFixed(2)}, ${p.n} rows`,
          },
        ),
        Plot.text(pairs, {
          x: "j",
          y: "i",
          text: numbered,
          fill: "var(--text)",
          fontVariant: "tabular-nums",
        }),
      ],
    );
    const table = [
      ["task", ...words.map((_, i) => String(i + 1))],
      columns.map((_, i) => [
        `${i + 1} ${words[i]}`,
        ...columns.map((_, j) => {
          const p = pairs[i * columns.length + j];
          return p.rho === null ? "–" : signed(p.rho.toFixed(2));
        }),
      ]),
    ];
    const counts = pairs.filter((p) => p.rho !== null).map((p) => p.n);
    const range = counts.length
      ? Math.min(...counts) === Math.max(...counts)
        ? counts[0]
        : `${Math.min(...counts)} to ${Math.max(...counts)}`
      : 0;
    return {
      node: svg,
      table,
      note: `Spearman's ρ over ${range} pretext rows that both tasks have; merit, so that 1 means the same order. So few rows say little: with 8, |ρ| below .74 is within chance (two-sided, 5 %).`,
    };
  });
  return figure;
}

const CLASS = /^(.+)_(\d+)$/;

/** What two rows differ in, class by class. */
function classesFigure(board, rows) {
  const withClasses = board.columns
    .map((column, place) => ({
      column,
      place,
      classes: column.beside
        .map((b, i) => ({ i, unit: b.unit, lower: b.lower, found: CLASS.exec(b.metric) }))
        .filter((b) => b.found),
    }))
    .filter(({ classes }) => classes.length > 1);
  const title = "Differences by class";
  if (!withClasses.length)
    return makeFigure(title, null, () => "No record of this board holds scores of single classes.");
  const state = { task: "0", one: null, two: null };
  const place = el("div", { class: "controls" });
  const candidates = () => rows().filter((row) => hasClasses(board, row, withClasses[state.task]));
  const figure = makeFigure(title, place, (width) => {
    const own = candidates(),
      called = names(board, own),
      options = own.map((row) => [String(board.rows.indexOf(row)), called.get(row)]);
    if (own.length < 2) return "Fewer than two of the rows shown have scores of single classes here.";
    const known = (key) => options.some(([value]) => value === key);
    if (!known(state.one)) state.one = options[0][0];
    if (!known(state.two) || state.two === state.one)
      state.two = own.find((row) => row.label === "random" && row !== own[0])
        ? String(board.rows.indexOf(own.find((row) => row.label === "random")))
        : options.find(([value]) => value !== state.one)[0];
    const pick = (key) => (value) => {
      state[key] = value;
      figure.update();
    };
    const focused = place.contains(document.activeElement)
      ? [...place.querySelectorAll("select")].indexOf(document.activeElement)
      : -1;
    place.replaceChildren(
      choice(
        "Task",
        withClasses.map(({ column }, i) => [String(i), columnName(column)]),
        state.task,
        pick("task"),
      ),
      choice("Row", options, state.one, pick("one")),
      choice("minus", options, state.two, pick("two")),
    );
    if (focused >= 0) place.querySelectorAll("select")[focused].focus();
    return classesDrawn(
      board,
      withClasses[state.task],
      board.rows[state.one],
      board.rows[state.two],
      called,
      width,
    );
  });
  return figure;
}

const hasClasses = (board, row, { place, classes }) =>
  board.behind[row.behind].evaluations.some(
    (e) => e.column === place && classes.some(({ i }) => e.beside[i] !== null),
  );

function classesDrawn(board, { place, classes }, one, two, called, width) {
  const of = (row) => board.behind[row.behind].evaluations.filter((e) => e.column === place);
  const [mine, others] = [of(one), of(two)];
  const made = classes
    .map(({ i, unit, found }) => {
      const values = (evaluations) => evaluations.filter((e) => e.beside[i] !== null);
      const [a, b] = [values(mine), values(others)];
      if (!a.length || !b.length) return null;
      const seeds = a
        .map((e) => [e, b.find((other) => other.seed === e.seed && other.draw === e.draw)])
        .filter(([, other]) => other);
      const by = scale(unit);
      return {
        name: `${found[1]} ${found[2]}`,
        unit,
        diff: by * (mean(a.map((e) => e.beside[i])) - mean(b.map((e) => e.beside[i]))),
        seeds: seeds.map(([e, other]) => by * (e.beside[i] - other.beside[i])),
      };
    })
    .filter(Boolean)
    .sort((p, q) => q.diff - p.diff);
  if (!made.length) return "These two rows have no class in common.";
  const ticks = made.flatMap((p) => p.seeds.map((diff) => ({ name: p.name, diff })));
  const svg = drawn(
    `${called.get(one)} minus ${called.get(two)}, ${made.length} classes`,
    {
      width,
      height: 20 * made.length + 70,
      marginLeft: 90,
      marginRight: 60,
      x: {
        label: `${plain(called.get(one))} − ${plain(called.get(two))}, points`,
        domain: extent([0, ...made.map((p) => p.diff), ...ticks.map((t) => t.diff)]),
      },
      y: { type: "band", domain: made.map((p) => p.name), label: null, tickFormat: plain, tickSize: 0 },
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
      Plot.tickX(ticks, { x: "diff", y: "name", inset: 4, stroke: "var(--text)", strokeWidth: 1 }),
      Plot.text(made, {
        x: "diff",
        y: "name",
        dx: (p) => 0,
        text: (p) => signed((p.diff > 0 ? "+" : "") + p.diff.toFixed(1)),
        frameAnchor: "right",
        x: null,
        textAnchor: "start",
        dx: 8,
        fill: "var(--text)",
        fontVariant: "tabular-nums",
      }),
    ],
  );
  const table = [
    ["class", "difference", "by seed"],
    made.map((p) => [
      p.name,
      signed((p.diff > 0 ? "+" : "") + p.diff.toFixed(1)),
      p.seeds.map((d) => signed(d.toFixed(1))).join(", "),
    ]),
  ];
  return {
    node: svg,
    table,
    note: "Bars are differences of means over seeds; ticks are seeds that both rows have. Classes are not tested: single ones differ by chance.",
  };
}

const makeFigures = (board, rows) =>
  [stagesFigure, costFigure, tunedFigure, correlationFigure, classesFigure].map((make) => make(board, rows));
