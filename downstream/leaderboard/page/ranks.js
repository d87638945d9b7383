/* How alike tasks order the rows: Spearman's rank correlation. */

const FEW = 4; // rows below which no correlation is told

/** Ranks from 1; equal values share the mean of theirs. */
function ranksOf(values) {
  const order = values.map((_, i) => i).sort((one, two) => values[one] - values[two]);
  const ranks = new Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]] === values[order[from]]) to += 1;
    for (let i = from; i < to; i += 1) ranks[order[i]] = (from + to + 1) / 2;
    from = to;
  }
  return ranks;
}

/** Spearman's ρ; null where one side is constant. */
function spearman(one, two) {
  const [x, y] = [ranksOf(one), ranksOf(two)];
  const middle = (x.length + 1) / 2;
  const sum = (of) => x.reduce((total, _, i) => total + of(i), 0);
  const norm = Math.sqrt(sum((i) => (x[i] - middle) ** 2) * sum((i) => (y[i] - middle) ** 2));
  return norm > 0 ? sum((i) => (x[i] - middle) * (y[i] - middle)) / norm : null;
}

function ranksFigure(board, rows) {
  const figure = makeFigure("Rank correlation between tasks", null, (width) => {
    const own = rows().filter((row) => row.kind === "pretext");
    const tasks = board.columns
      .map((column, place) => ({ column, words: wordsOf(column), scores: meritsOf(column, place, own) }))
      .filter(({ scores }) => scores.size >= FEW);
    return tasks.length < 2
      ? `There are fewer than two tasks with ${FEW} of the pretext rows shown.`
      : drawRanks(tasks, correlations(tasks), width);
  });
  return figure;
}

const wordsOf = (column) => column.head.filter((line) => !/^\(\d+\)$/.test(line)).join(" ");

/** Scores by row, of which more is better. */
function meritsOf(column, place, rows) {
  const known = rows.map((row) => [row, cellOf(row, place)]).filter(([, cell]) => cell);
  return new Map(known.map(([row, cell]) => [row, column.lower ? -cell.value : cell.value]));
}

/** Every pair of two tasks, both ways round: i, j, the rows that both have, and ρ. */
function correlations(tasks) {
  const pairs = [];
  tasks.forEach((one, i) =>
    tasks.slice(0, i).forEach((two, j) => {
      const common = [...one.scores.keys()].filter((row) => two.scores.has(row));
      if (common.length < FEW) return;
      const rho = spearman(
        common.map((row) => one.scores.get(row)),
        common.map((row) => two.scores.get(row)),
      );
      if (rho !== null) pairs.push({ i, j, n: common.length, rho }, { i: j, j: i, n: common.length, rho });
    }),
  );
  return pairs;
}

function drawRanks(tasks, pairs, width) {
  const left = width < 560 ? 130 : 275;
  const side = Math.min(46, (width - left - 20) / tasks.length);
  const places = tasks.map((_, i) => i);
  const told = (p, digits) => signed(p.rho.toFixed(digits));
  const svg = drawn(
    `Spearman's rank correlation between ${tasks.length} tasks`,
    {
      width: left + side * tasks.length + 10,
      height: side * tasks.length + 60,
      grid: false,
      marginLeft: left,
      marginTop: 34,
      marginBottom: 10,
      marginRight: 10,
      x: {
        type: "band",
        domain: places,
        axis: "top",
        tickFormat: (i) => String(i + 1),
        label: null,
        tickSize: 0,
      },
      y: {
        type: "band",
        domain: places,
        tickFormat: (i) => `${cut(plain(tasks[i].words), width < 560 ? 16 : 34)}  ${i + 1}`,
        label: null,
        tickSize: 0,
      },
    },
    [
      Plot.cell(pairs, {
        x: "j",
        y: "i",
        inset: 1,
        fill: (p) => (p.rho < 0 ? "var(--negative)" : "var(--positive)"),
        fillOpacity: (p) => 0.06 + 0.5 * Math.abs(p.rho),
        title: (p) => `${plain(tasks[p.i].words)} and ${plain(tasks[p.j].words)}: ${told(p, 2)}, ${p.n} rows`,
      }),
      side < 18
        ? null
        : Plot.text(pairs, {
            x: "j",
            y: "i",
            text: (p) => told(p, side < 30 ? 1 : 2),
            fill: "var(--text)",
            fontVariant: "tabular-nums",
          }),
    ],
  );
  const by = new Map(pairs.map((p) => [`${p.i} ${p.j}`, told(p, 2)]));
  const table = [
    ["task", ...places.map((i) => String(i + 1))],
    places.map((i) => [`${i + 1} ${tasks[i].words}`, ...places.map((j) => by.get(`${i} ${j}`) ?? "–")]),
  ];
  return { node: svg, table, note: sayRanks(pairs) };
}

function sayRanks(pairs) {
  const counts = pairs.map((p) => p.n).sort((one, two) => one - two);
  const range =
    counts.length && counts[0] !== counts.at(-1) ? `${counts[0]} to ${counts.at(-1)}` : `${counts[0] ?? 0}`;
  return (
    `Spearman's ρ over the ${range} pretext rows that two tasks have in common; 1 where both order them alike, ` +
    "whichever way is better. Few rows say little: with 8, |ρ| below .74 is within chance (two-sided, 5 %)."
  );
}
