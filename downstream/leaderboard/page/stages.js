/* Score by stage. */

function stagesFigure(board, rows) {
  const options = board.stages.map((curve, i) => [String(i), columnName(board.columns[curve.column])]);
  let chosen = 0;
  const pick = (value) => {
    chosen = Number(value);
    figure.update();
  };
  const controls = options.length ? choice("Task", options, "0", pick) : null;
  const figure = makeFigure("Score by stage", controls, (width) => {
    if (!options.length) return "No protocol of this board scores several stages.";
    const series = seriesOf(board, board.stages[chosen], withEncoder(rows()));
    return series.length
      ? drawStages(board.columns[board.stages[chosen].column], series, width)
      : "None of the rows shown has scores of stages here.";
  });
  return figure;
}

/** Rows with the scores of their stages, and which of these were chosen. */
function seriesOf(board, { column, rows: curves }, rows) {
  const called = names(rows);
  const scores = new Map(curves.map((curve) => [curve.behind, curve.scores]));
  return rows
    .filter((row) => scores.has(row.behind))
    .map((row, i) => ({
      label: called.get(row),
      twin: row.kind === "twin",
      stroke: color(i),
      scores: new Map(scores.get(row.behind)),
      chosen: new Set(cellOf(row, column)?.stages),
    }));
}

function drawStages(column, series, width) {
  const stages = [...new Set(series.flatMap(({ scores }) => [...scores.keys()]))];
  const points = series.flatMap((one) =>
    [...one.scores].map(([stage, value]) => ({
      label: one.label,
      twin: one.twin,
      stroke: one.stroke,
      stage,
      x: stages.indexOf(stage),
      y: scale(column.unit) * value,
      chosen: one.chosen.has(stage),
    })),
  );
  const ends = [...new Map(points.map((p) => [p.label, p])).values()];
  const height = tall(ends.length),
    reach = reachOf(width);
  const frame = { x: [-0.15, stages.length - 0.85], y: extent(points.map((p) => p.y)), height, reach };
  const line = (twin) =>
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
    );
  const svg = drawn(
    `Score by stage: ${columnName(column)}, ${series.length} rows`,
    {
      width,
      height,
      marginRight: reach + 10,
      y: { domain: frame.y, label: axis(column) },
      x: {
        domain: frame.x,
        ticks: stages.map((_, i) => i),
        tickFormat: (i) => plain(stages[i] ?? ""),
        label: "stage",
      },
    },
    [
      ...namesBeside(ends, frame),
      line(false),
      line(true),
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
  const signs = [
    ["filled", "chosen on val"],
    ["hollow", "other stages"],
    ["dashes", "twins"],
  ];
  const told = series.map(({ label, scores }) => [
    label,
    ...stages.map((stage) => shown(scores.get(stage), column.unit)),
  ]);
  return { node: [svg, legend(signs)], table: [["row", ...stages], told] };
}
