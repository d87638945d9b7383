/* Numbers and names as a reader sees them. */

const MINUS = "−";

/** A number with a real minus, and none before zero. */
const signed = (text) => (/^-[0.]*$/.test(text) ? text.slice(1) : text.replace("-", MINUS));

/** A value in its unit: fractions in %, others to three digits. */
function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "fraction") return signed((100 * value).toFixed(1));
  return signed(Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
}

const inUnit = (unit) => (unit === "fraction" ? "%" : unit);

/** A difference, with its sign. */
function difference(value, unit) {
  const text = shown(value, unit);
  return value > 0 ? `+${text}` : text;
}

/** "[low, high]", or nothing. */
function between(low, high, unit) {
  return low === undefined || low === null ? "" : `[${shown(low, unit)}, ${shown(high, unit)}]`;
}

const PREFIXES = [
  [1e18, "E"],
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

/** A count with a prefix: 143872 is "144 k". */
function counted(value) {
  if (value === null || value === undefined) return "–";
  const [size, prefix] = PREFIXES.find(([least]) => value >= least) ?? [1, ""];
  return `${Number((value / size).toPrecision(3))}${prefix ? ` ${prefix}` : ""}`;
}

/** Seconds in the unit that suits them. */
function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const shortened = (digest) => digest.slice(0, 12);

/** A column in one line. */
function columnName(column) {
  const place = /^\(\d+\)$/.test(column.head[0]) ? `${column.head[0]} ` : "";
  const less = column.lower ? ", less is better" : "";
  const metric = `${column.metric}${column.unit === "fraction" ? "" : ` in ${column.unit}`}`;
  return `${place}${column.data} · ${column.task} · ${column.mode} · ${column.protocol} (${metric}${less})`;
}

/** What is to be known of a column beside its name. */
function columnFacts(column) {
  return [
    `${column.protocol} v${column.version}, settings ${column.settings}`,
    `${column.images} test images`,
    column.precision,
    column.df === null ? "" : `variance between seeds of ${column.df} degrees of freedom`,
    column.differs,
    column.unlike,
    column.codes > 1 ? `scored by ${column.codes} versions of the code` : "",
    column.ranks ? "" : "ranks nothing",
  ]
    .filter(Boolean)
    .join("; ");
}

const KINDS = { pretext: "pretext task", twin: "twin", blind: "sees no encoder" };

/** A value as YAML, as configurations are written. */
function yaml(value, indent = "") {
  if (Array.isArray(value)) {
    if (value.every((item) => item === null || typeof item !== "object"))
      return `[${value.map((item) => yaml(item)).join(", ")}]`;
    return value.map((item) => `\n${indent}- ${yaml(item, `${indent}  `).trimStart()}`).join("");
  }
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    if (!entries.length) return "{}";
    return entries
      .map(([key, item]) => {
        const text = yaml(item, `${indent}  `);
        return `\n${indent}${key}:${text.startsWith("\n") ? "" : " "}${text}`;
      })
      .join("");
  }
  if (typeof value === "string" && /^$|^[\s\d!&*?|>@%`'"#{[-]|[:#]\s|^(null|true|false|~)$/i.test(value))
    return JSON.stringify(value);
  return String(value);
}
