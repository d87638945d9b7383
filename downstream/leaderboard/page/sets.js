/* Mean ranks over data sets, with bars over what cannot be told apart (Demšar 2006). */

const BAR = 0.5; // of a row's height, from one bar to the next

function setsFigure(board) {
  let chosen = 0;
  const pick = (value) => {
    chosen = Number(value);
    figure.update();
  };
  const options = board.sets.map(({ group }, i) => [String(i), board.groups[group]]);
  const controls = options.length > 1 ? choice("Section", options, "0", pick) : null;
  const figure = makeFigure("Mean ranks over data sets", controls, (width) =>
    board.sets.length
      ? drawSets(board, board.sets[chosen], width)
      : `Mean ranks are compared from ${board.enough} independent data sets and three rows on; no section of this board has them.`,
  );
  return figure;
}

function drawSets(board, sets, width) {
  const own = board.rows.filter((row) => row.group === sets.group && row.rank !== null);
  const points = own
    .map((row) => ({ label: row.label, x: row.rank }))
    .sort((one, two) => one.x - two.x)
    .map((point, place) => ({ ...point, y: BAR * (sets.bars.length + 1) + place }));
  const bars = sets.bars.map(([low, high], place) => ({ low, high, y: BAR * (place + 0.5) }));
  const left = width < 560 ? 110 : NAMES;
  const bottom = points.length ? points.at(-1).y + 0.6 : 1;
  const svg = drawn(
    `Mean ranks of ${points.length} rows over ${sets.count} data sets`,
    {
      width,
      height: 60 + 22 * bottom,
      marginLeft: left,
      marginRight: 20,
      marginTop: 34,
      marginBottom: 8,
      x: { domain: [1, own.length], axis: "top", label: "mean rank, 1 the best", ticks: Math.min(own.length, 10) },
      y: { domain: [bottom, 0], axis: null, grid: false },
    },
    [
      Plot.link(points, { x1: () => 1, x2: "x", y1: "y", y2: "y", stroke: "var(--faint)" }),
      Plot.dot(points, {
        x: "x",
        y: "y",
        r: 4.5,
        fill: "var(--accent)",
        title: (p) => `${plain(p.label)}: ${p.x.toFixed(2)}`,
      }),
      Plot.text(points, {
        x: () => 1,
        y: "y",
        dx: -8,
        text: (p) => cut(plain(p.label), width < 560 ? 14 : 21),
        textAnchor: "end",
        fill: "var(--text)",
        clip: false,
      }),
      Plot.link(bars, { x1: "low", x2: "high", y1: "y", y2: "y", stroke: "var(--text)", strokeWidth: 3 }),
    ],
  );
  const table = [["row", "mean rank"], points.map((p) => [p.label, p.x.toFixed(2)])];
  return { node: svg, table, note: saySets(sets) };
}

function saySets(sets) {
  const found =
    sets.p > 0.05
      ? `Friedman's test finds no difference between the rows (p = ${sets.p.toFixed(3)}), so one bar lies over all.`
      : `Rows under one bar are not told apart: their mean ranks differ by ${sets.difference.toFixed(2)} or less (Nemenyi, 5 % for all pairs; Friedman's test: p ${sets.p < 0.001 ? "< 0.001" : `= ${sets.p.toFixed(3)}`}).`;
  return `All rows of the section with a score in every column that ranks it, over ${sets.count} data sets. ${found}`;
}
