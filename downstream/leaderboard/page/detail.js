/* What is behind one row: scores, flags, pretraining, where it comes from, how to make it again. */

/** The dialog of details; `show` fills and opens it for a row, `neighbour` finds the next one. */
function makeDetail(data, dialog, neighbour) {
  let current = null;

  function show(board, row) {
    current = { board, row };
    dialog.replaceChildren(...detailOf(data, board, row, move, () => dialog.close()));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector("h2").focus();
  }

  function move(by) {
    const next = neighbour(current.row, by);
    if (next) show(current.board, next);
  }

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return { show };
}

function detailOf(data, board, row, move, close) {
  const behind = board.behind[row.behind];
  const button = (text, act, label) =>
    el("button", { type: "button", "aria-label": label ?? null, on: { click: act } }, text);
  return [
    el(
      "header",
      {},
      el(
        "div",
        {},
        el("h2", { id: "detail-title", tabindex: -1 }, row.label),
        el(
          "p",
          { class: "muted" },
          [KINDS[row.kind], row.group === null ? "" : board.groups[row.group]].filter(Boolean).join(" · "),
        ),
      ),
      el(
        "nav",
        { "aria-label": "Rows" },
        button("↑", () => move(-1), "Row above"),
        button("↓", () => move(1), "Row below"),
        button("Close", close),
      ),
    ),
    el(
      "div",
      { class: "parts" },
      part("Scores", scoresOf(board, row)),
      part("Gates and flags", flagsOf(data, board, behind)),
      part("What it is", identityOf(row, behind)),
      part("Pretraining", pretrainingOf(data, behind)),
      part("How to make it again", againOf(data, board, behind)),
      part("Pictures", picturesOf(data, behind)),
      part("Every metric", [
        unfolded("Means over seeds, of the chosen stages", () => metricsOf(board, behind)),
        unfolded("Each seed by itself", () => seedsTable(board, behind)),
      ]),
    ),
  ];
}

/** A titled part; nothing where there is no content. */
function part(title, content) {
  if (!content || (Array.isArray(content) && !content.filter(Boolean).length)) return null;
  return el("section", {}, el("h3", {}, title), content);
}

const scrolling = (label, table) =>
  el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);

function scoresOf(board, row) {
  const rows = row.cells.map((cell) => {
    const column = board.columns[cell.column];
    const { unit } = column;
    const name = el("span", { title: columnFacts(column) }, columnName(column));
    const said = cell.best ? "best of its section" : (cell.verdict ?? "");
    const verdict = [said, cell.ranks ? `ranks ${cell.ranks.slice(1)}` : ""].filter(Boolean).join(", ");
    return [
      name,
      `${shown(cell.value, unit)} ${between(cell.low, cell.high, unit)}`,
      cell.over ?? "–",
      cell.over_random === undefined
        ? "–"
        : `${difference(cell.over_random, unit)} ${between(cell.over_random_low, cell.over_random_high, unit)}`,
      cell.share === undefined ? "–" : `${percent(cell.share)} ${interval(cell.share_low, cell.share_high)}`,
      (cell.stages ?? []).join(", ") || "–",
      verdict,
    ];
  });
  const heads = [
    "task",
    "score, 95 % interval",
    "over",
    "above random twin",
    "share of the gap",
    "stage",
    "beside the best",
  ];
  return scrolling("Scores", tabulated("", ...withoutEmpty(heads, rows)));
}

const percent = (share) => `${signed((100 * share).toFixed(0))} %`;
const interval = (low, high) =>
  low === undefined ? "" : `[${signed((100 * low).toFixed(0))}, ${signed((100 * high).toFixed(0))}]`;

/** Heads and rows without the columns that say nothing. */
function withoutEmpty(heads, rows) {
  const told = heads.map((_, i) => rows.some((row) => !["", "–"].includes(row[i])));
  return [heads.filter((_, i) => told[i]), rows.map((row) => row.filter((_, i) => told[i]))];
}

const GATES =
  "A score is kept only where its gates passed: splits share no image with each other or with pretraining, " +
  "what was frozen has not moved by a bit, the encoder sees what it declares, no number is missing, and every test " +
  "image has its row. What else a reader must know is flagged.";

function flagsOf(data, board, behind) {
  const met = new Map();
  for (const evaluation of behind.evaluations) {
    for (const flag of evaluation.flags) {
      if (!met.has(flag)) met.set(flag, new Map());
      const seeds = met.get(flag);
      const name = columnName(board.columns[evaluation.column]);
      seeds.set(name, [...(seeds.get(name) ?? []), evaluation.seed]);
    }
  }
  const items = [...met].map(([flag, where]) =>
    el(
      "li",
      {},
      el("strong", {}, data.flags[flag]),
      " — ",
      [...where].map(([name, seeds]) => `${name}, seed ${[...new Set(seeds)].join(", ")}`).join("; "),
    ),
  );
  return [el("p", { class: "muted" }, GATES), items.length ? el("ul", {}, items) : el("p", {}, "No flag.")];
}

function facts(pairs) {
  const known = pairs.filter(
    ([, value]) => value !== "" && value !== null && value !== undefined && value !== "–",
  );
  return el(
    "dl",
    {},
    known.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
}

function identityOf(row, behind) {
  return facts([
    ["pretext task", behind.pretext],
    ["network", behind.backbone],
    ["input", behind.input],
    ["calibration", behind.calibration],
    ["pretrained on", behind.pretraining && `${behind.pretraining} ${behind.images}`],
    ["budget", behind.budget],
    ["recipe", behind.recipe],
    [
      "twins",
      Object.entries(behind.twins)
        .map(([name, recipe]) => `${name} ${shortened(recipe)}`)
        .join(", "),
    ],
    ["parameters", behind.parameters ? counted(behind.parameters) : ""],
    ["FLOPs an image", behind.flops ? counted(behind.flops) : ""],
    ["ranking columns covered", row.covered[1] ? `${row.covered[0]} of ${row.covered[1]}` : ""],
    ["mean rank", row.rank === null ? "" : row.rank.toFixed(2)],
    ["mean share of the gap", row.gain === null ? "" : `${signed((100 * row.gain).toFixed(1))} %`],
  ]);
}

function pretrainingOf(data, behind) {
  const effort = behind.effort;
  if (!effort) return null;
  const runs = [...new Map(behind.evaluations.map((e) => [data.origins[e.origin].run, e.seed]))];
  return [
    facts([
      ["images", counted(effort.images)],
      ["views", counted(effort.views)],
      ["FLOPs", counted(effort.flops)],
      ["wall time", `${lasted(effort.seconds)} on ${effort.device}`],
      ["precision", behind.precision],
    ]),
    curvesOf(
      runs.filter(([run]) => data.curves[run]).map(([run, seed]) => ({ seed, curves: data.curves[run] })),
    ),
  ];
}

function againOf(data, board, behind) {
  const evaluations = behind.evaluations.filter(
    (e, place, all) => all.findIndex((o) => o.origin === e.origin) === place,
  );
  if (!evaluations.length) return null;
  const place = el("div");
  const showOrigin = (chosen) =>
    place.replaceChildren(...originOf(data, data.origins[evaluations[chosen].origin]));
  const options = evaluations.map((e, i) => [
    i,
    `seed ${e.seed}${e.draw ? `, draw ${e.draw}` : ""}: ${columnName(board.columns[e.column])}`,
  ]);
  showOrigin(0);
  return [choice("Evaluation", options, 0, showOrigin), place];
}

function originOf(data, origin) {
  const config = Object.fromEntries(
    Object.entries(origin.config).map(([name, at]) => [name, data.values[at]]),
  );
  const versions = Object.entries(data.values[origin.versions]).map(
    ([name, version]) => `${name} ${version}`,
  );
  const commit = origin.commit + (origin.dirty ? ", with changes that were not committed" : "");
  return [
    origin.command ? commandOf(origin) : null,
    facts([
      ["commit", commit],
      ["made", origin.utc],
      ["versions", versions.join(", ")],
      ["suite", origin.suite],
      ["run", shortened(origin.run)],
      ["evaluation", shortened(origin.evaluation)],
      ["weights", origin.weights],
      ["scoring code", origin.scoring],
    ]),
    Object.keys(config).length
      ? unfolded("Resolved configuration", () =>
          el(
            "pre",
            { tabindex: 0, role: "region", "aria-label": "Resolved configuration" },
            yaml(config).trim(),
          ),
        )
      : null,
  ].filter(Boolean);
}

/** The command, and a button that copies it. */
function commandOf(origin) {
  const lines = [
    /^[0-9a-f]{7,40}$/.test(origin.commit) ? `git checkout ${origin.commit}` : "",
    origin.command,
  ].filter(Boolean);
  const copy = el("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(copy.previousSibling);
      copy.textContent = "Selected";
    }
  });
  return el(
    "div",
    { class: "command" },
    el("pre", { tabindex: 0, role: "region", "aria-label": "Command" }, lines.join("\n")),
    copy,
  );
}

function picturesOf(data, behind) {
  const mine = new Set(
    behind.evaluations.flatMap((e) => [data.origins[e.origin].run, data.origins[e.origin].evaluation]),
  );
  const own = data.pictures.shown.filter((picture) => mine.has(picture.of));
  const left = data.pictures.all - data.pictures.shown.length;
  const note =
    left > 0
      ? el(
          "p",
          { class: "muted" },
          `${left} of this page's ${data.pictures.all} pictures are left out, to keep it small${data.pictures.left ? `: ${data.pictures.left}` : ""}.`,
        )
      : null;
  const figures = own.map((picture) => {
    const image = el("img", { alt: picture.caption, loading: "lazy" });
    image.src = `data:image/png;base64,${picture.png}`;
    return el("figure", {}, image, el("figcaption", {}, picture.caption));
  });
  return figures.length || left > 0 ? [note, ...figures] : null;
}

function metricsOf(board, behind) {
  const tables = [...new Set(behind.evaluations.map((e) => e.column))].map((place) => {
    const column = board.columns[place];
    const own = behind.evaluations.filter((e) => e.column === place);
    const rows = column.beside
      .map(({ metric, unit, class: called }, i) => {
        const values = own.map((e) => e.beside[i]).filter((value) => value !== null);
        return values.length
          ? [called ? `${metric} ${called}` : metric, `${shown(mean(values), unit)}`, inUnit(unit), String(values.length)]
          : null;
      })
      .filter(Boolean);
    const first = [
      column.metric,
      shown(mean(own.map((e) => e.value)), column.unit),
      inUnit(column.unit),
      String(own.length),
    ];
    return tabulated(columnName(column), ["metric", "mean", "in", "n"], [first, ...rows]);
  });
  return el("div", { class: "tables" }, tables);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function seedsTable(board, behind) {
  const rows = behind.evaluations.map((e) => {
    const column = board.columns[e.column];
    const setting = Object.entries(e.setting)
      .map(([name, value]) => `${name}=${value}`)
      .join(", ");
    return [
      columnName(column),
      String(e.seed),
      e.stage || "–",
      shown(e.value, column.unit),
      shown(e.val, column.unit),
      shown(e.train, column.unit),
      shown(e.chance, column.unit),
      setting || "–",
      lasted(e.seconds),
      `${e.memory.toFixed(0)} MiB`,
      e.device,
    ];
  });
  const heads = [
    "task",
    "seed",
    "stage",
    "test",
    "val",
    "train",
    "chance",
    "chosen",
    "time",
    "memory",
    "device",
  ];
  return scrolling("Each seed by itself", tabulated("", heads, rows));
}
