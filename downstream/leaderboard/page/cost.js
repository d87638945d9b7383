/* Score against what pretraining, or the encoder, takes. */

const COSTS = {
  images: ["images seen in pretraining", (behind) => behind.images_seen],
  flops: ["FLOPs of pretraining", (behind) => behind.effort?.flops ?? null],
  seconds: ["seconds of pretraining", (behind) => behind.effort?.seconds ?? null],
  inference: ["FLOPs of the encoder, one image", (behind) => behind.flops || null],
  parameters: ["parameters of the encoder", (behind) => behind.parameters || null],
};
const GAIN = ["gain", "mean share of the gap from random to supervised"];

function costFigure(board, rows) {
  const gains = board.rows.some((row) => row.gain !== null) ? [GAIN] : [];
  const scores = [...gains, ...columnOptions(board)];
  const state = {
    score: scores[0][0],
    cost: board.behind.some((row) => row.effort?.flops) ? "flops" : "images",
  };
  const pick = (key) => (value) => {
    state[key] = value;
    figure.update();
  };
  const costs = Object.entries(COSTS).map(([key, [text]]) => [key, text]);
  const controls = [
    choice("Score", scores, state.score, pick("score")),
    choice("Against", costs, state.cost, pick("cost")),
  ];
  const figure = makeFigure("Score against cost", controls, (width) => {
    const points = costPoints(board, withEncoder(rows()), state);
    if (!points.some((p) => p.x > 0)) return "None of the rows shown has this score and this cost.";
    const column = state.score === "gain" ? null : board.columns[state.score];
    markFront(points, column?.lower);
    return drawCosts(points, column ? axis(column) : "share of the gap, %", COSTS[state.cost][0], width);
  });
  return figure;
}

function costPoints(board, rows, { score, cost }) {
  const called = names(rows);
  const made = rows.map((row) => {
    const found =
      score === "gain"
        ? { value: row.gain === null ? undefined : 100 * row.gain }
        : (scoreOf(board, row, Number(score)) ?? {});
    const { value: y, low, high } = found;
    return {
      label: called.get(row),
      kind: row.kind,
      x: COSTS[cost][1](board.behind[row.behind]),
      y,
      low,
      high,
    };
  });
  return made.filter((p) => p.x !== null && p.y !== undefined);
}

/** Mark the pretext tasks that no other one beats on both sides; what took nothing stands outside. */
function markFront(points, lower) {
  const sign = lower ? -1 : 1;
  let best = -Infinity;
  const rivals = points.filter((p) => p.x > 0 && p.kind === "pretext");
  for (const p of rivals.sort((one, two) => one.x - two.x || sign * (two.y - one.y))) {
    p.first = sign * p.y > best;
    best = Math.max(best, sign * p.y);
  }
}

/** The front as steps, to the end of the frame. */
function stepsOf(points, right) {
  const front = points.filter((p) => p.first).sort((one, two) => one.x - two.x);
  const steps = front.flatMap((p, i) => (i ? [{ x: p.x, y: front[i - 1].y }, p] : [p]));
  return front.length ? [...steps, { x: right, y: front.at(-1).y }] : [];
}

function drawCosts(points, label, cost, width) {
  const paid = points.filter((p) => p.x > 0);
  const free = points.filter((p) => p.x === 0);
  const x = costScale(paid.map((p) => p.x));
  const height = tall(points.length),
    reach = reachOf(width);
  const frame = { x: x.domain, y: extent(points.flatMap((p) => [p.y, p.low, p.high])), height, reach };
  const levels = free.map((p) => ({ ...p, x: x.domain[0], label: `${p.label} (none)` }));
  const svg = drawn(
    `${label} against ${cost}, ${points.length} rows, with the Pareto front`,
    {
      width,
      height,
      marginRight: reach + 10,
      y: { domain: frame.y, label },
      x: { ...x, label: cost, tickFormat: "~s", ticks: width < 560 ? 3 : 6 },
    },
    [
      ...namesBeside([...paid, ...levels], frame),
      Plot.ruleY(levels, { y: "y", stroke: "var(--muted)", strokeDasharray: "1 3" }),
      Plot.line(stepsOf(paid, x.domain[1]), {
        x: "x",
        y: "y",
        stroke: "var(--accent)",
        strokeDasharray: "5 3",
      }),
      ...dots(paid),
    ],
  );
  const signs = [
    ["filled", "on the Pareto front of the pretext tasks"],
    ["hollow", "beside it"],
  ];
  if (paid.some((p) => p.kind === "twin")) signs.push(["triangle", "twins"]);
  if (free.length) signs.push(["dotted", "no training: a level"]);
  const told = points.map((p) => [p.label, counted(p.x), signed(p.y.toFixed(1)), p.first ? "yes" : ""]);
  return { node: [svg, legend(signs)], table: [["row", cost, label, "on the front"], told] };
}

/** Costs of one order of magnitude on a linear scale, others on a logarithmic one. */
function costScale(costs) {
  const low = costs.reduce((one, two) => Math.min(one, two)),
    high = costs.reduce((one, two) => Math.max(one, two));
  if (high <= 4 * low) {
    const [from, to] = extent(costs, 0.08);
    return { type: "linear", domain: [Math.max(0, from), to] };
  }
  return {
    type: "log",
    domain: extent([Math.log10(low), Math.log10(high)], 0.08).map((power) => 10 ** power),
  };
}
