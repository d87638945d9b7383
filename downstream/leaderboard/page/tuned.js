/* Frozen against fine-tuned. */

function tunedFigure(board, rows) {
  const frozen = columnOptions(board, (column) => column.mode === "frozen");
  const tuned = columnOptions(board, (column) => column.mode !== "frozen");
  const title = "Frozen against fine-tuned";
  if (!frozen.length || !tuned.length) {
    return makeFigure(
      title,
      null,
      () => "This board has not both: protocols that freeze the encoder, and protocols that tune it.",
    );
  }
  const state = alike(board, frozen, tuned);
  const pick = (key) => (value) => {
    state[key] = value;
    figure.update();
  };
  const controls = [
    choice("Frozen", frozen, state.x, pick("x")),
    choice("Fine-tuned", tuned, state.y, pick("y")),
  ];
  const figure = makeFigure(title, controls, (width) => {
    const points = pairsOf(board, withEncoder(rows()), Number(state.x), Number(state.y));
    return points.length
      ? drawTuned(board.columns[state.x], board.columns[state.y], points, width)
      : "None of the rows shown has both scores.";
  });
  return figure;
}

/** Two columns to begin with: of the same images and task, where there are such. */
function alike(board, frozen, tuned) {
  for (const [y] of tuned) {
    for (const [x] of frozen) {
      const [one, two] = [board.columns[x], board.columns[y]];
      if (one.data === two.data && one.task === two.task) return { x, y };
    }
  }
  return { x: frozen[0][0], y: tuned[0][0] };
}

function pairsOf(board, rows, x, y) {
  const called = names(rows);
  return rows.flatMap((row) => {
    const [one, two] = [scoreOf(board, row, x), scoreOf(board, row, y)];
    if (!one || !two) return [];
    return [
      {
        label: called.get(row),
        kind: row.kind,
        x: one.value,
        left: one.low,
        right: one.high,
        y: two.value,
        low: two.low,
        high: two.high,
      },
    ];
  });
}

function drawTuned(x, y, points, width) {
  const height = tall(points.length, 380),
    reach = reachOf(width);
  const frame = {
    x: extent(points.flatMap((p) => [p.x, p.left, p.right])),
    y: extent(points.flatMap((p) => [p.y, p.low, p.high])),
    height,
    reach,
  };
  const ends = [Math.max(frame.x[0], frame.y[0]), Math.min(frame.x[1], frame.y[1])];
  const level = x.metric === y.metric && x.data === y.data && ends[1] > ends[0];
  const heads = [`frozen: ${axis(x)}`, `fine-tuned: ${axis(y)}`];
  const svg = drawn(
    `Fine-tuned against frozen, ${points.length} rows`,
    {
      width,
      height,
      marginRight: reach + 10,
      x: { domain: frame.x, label: heads[0] },
      y: { domain: frame.y, label: heads[1] },
    },
    [
      level
        ? Plot.line([ends, ends], {
            x: (_, i) => ends[i],
            y: (_, i) => ends[i],
            stroke: "var(--muted)",
            strokeDasharray: "1 3",
          })
        : null,
      ...namesBeside(points, frame),
      ...dots(points),
    ],
  );
  const signs = [
    ["hollow", "pretext tasks"],
    ["triangle", "twins"],
    ...(level ? [["dotted", "as good tuned as frozen"]] : []),
  ];
  const told = points.map((p) => [p.label, signed(p.x.toFixed(1)), signed(p.y.toFixed(1))]);
  return { node: [svg, legend(signs)], table: [["row", ...heads], told] };
}
