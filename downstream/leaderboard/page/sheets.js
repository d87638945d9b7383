/* Tables as the other formats have them: a view by other fields, numbers that others published. */

/** Put tables in their place, which is hidden without any. */
function placeSheets(place, sheets) {
  place.hidden = !sheets.length;
  place.replaceChildren(...sheets.map(sheetOf));
}

function sheetOf(sheet) {
  const width = 1 + sheet.heads.length;
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "Row"),
    sheet.heads.map((lines) =>
      el(
        "th",
        { scope: "col" },
        lines.map((line) => el("span", { class: "line" }, breakable(line))),
      ),
    ),
  );
  const bodies = sheet.sections.map(({ title, lines }) =>
    el(
      "tbody",
      {},
      title
        ? el(
            "tr",
            { class: "section" },
            el("th", { scope: "rowgroup", colspan: width }, el("span", {}, title)),
          )
        : null,
      lines.map(lineOf),
    ),
  );
  const table = el(
    "table",
    { class: "small written" },
    el("caption", {}, sheet.title),
    el("thead", {}, head),
    bodies,
  );
  const notes = el(
    "ul",
    {},
    sheet.notes.map((note) => el("li", {}, note)),
  );
  return el(
    "article",
    {},
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": sheet.title }, table),
    sheet.notes.length
      ? el("details", { class: "notes" }, el("summary", {}, "How to read this table"), notes)
      : null,
  );
}

function lineOf({ label, remark, cells }) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, breakable(label), remark ? el("small", { class: "line" }, remark) : null),
    cells.map(({ body, under, notes, mark, bold }) =>
      el(
        "td",
        { class: "number" },
        bold ? el("strong", {}, signed(body)) : signed(body),
        mark,
        notes ? el("sup", {}, notes) : null,
        under ? el("small", { class: "line" }, under) : null,
      ),
    ),
  );
}
