"use strict";
// The table of runs: filter, sort, page.
(() => {
  const byId = (id) => document.getElementById(id);
  const { head, rows, ids, link, experiments } = JSON.parse(byId("run-data").textContent);
  const text = rows.map((row) => row.join(" ").toLowerCase());
  const status = head.indexOf("status");
  const PAGE = 25;
  let order = 0, down = false, page = 0;

  const compare = (a, b) => {
    const [x, y] = [rows[a][order], rows[b][order]];
    if (x === y) return a - b;
    if (x === null || y === null) return x === null ? 1 : -1;
    const way = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -way : way;
  };
  const shown = () => {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = byId("status").value;
    const kept = [...rows.keys()].filter((i) =>
      words.every((word) => text[i].includes(word)) && (!wanted || rows[i][status] === wanted));
    return kept.sort(compare);
  };
  const say = (value) => value === null ? "–" : typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)).toString() : String(value);

  const cell = (value, j, i) => {
    const td = document.createElement("td");
    td.dataset.label = head[j];
    if (j === 0) {
      const a = document.createElement("a");
      a.href = link.replace("{experiment}", experiments[i]).replace("{run}", ids[i]);
      a.textContent = value;
      td.append(a);
    } else td.textContent = say(value);
    return td;
  };
  const draw = () => {
    const matching = shown();
    const pages = Math.max(1, Math.ceil(matching.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const body = matching.slice(page * PAGE, (page + 1) * PAGE).map((i) => {
      const tr = document.createElement("tr");
      tr.append(...rows[i].map((value, j) => cell(value, j, i)));
      return tr;
    });
    byId("run-table").tBodies[0].replaceChildren(...body);
    byId("count").textContent = `${matching.length} of ${rows.length} runs`;
    byId("page").textContent = `page ${page + 1} of ${pages}`;
    byId("back").disabled = page === 0;
    byId("on").disabled = page === pages - 1;
    [...byId("run-table").tHead.rows[0].cells].forEach((th, j) => {
      th.textContent = head[j] + (j === order ? (down ? " ▼" : " ▲") : "");
      th.setAttribute("aria-sort", j !== order ? "none" : down ? "descending" : "ascending");
    });
    byId("order").value = String(order);
  };
  const sortBy = (j) => { down = j === order && !down; order = j; page = 0; draw(); };

  const titles = document.createElement("tr");
  head.forEach((name, j) => {
    const th = document.createElement("th");
    th.tabIndex = 0;
    th.addEventListener("click", () => sortBy(j));
    th.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(j); });
    titles.append(th);
    byId("order").append(new Option(name, String(j)));
  });
  byId("run-table").tHead.append(titles);
  byId("order").addEventListener("change", (event) => sortBy(Number(event.target.value)));
  for (const id of ["filter", "status"]) byId(id).addEventListener("input", () => { page = 0; draw(); });
  byId("back").addEventListener("click", () => { page -= 1; draw(); });
  byId("on").addEventListener("click", () => { page += 1; draw(); });
  draw();
})();
