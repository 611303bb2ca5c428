"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const MANY = 3000; // runs; to draw more takes longer than to type a letter
  const chosen = new Set();
  let query = "";
  let selected = null;
  let current = null;
  let origin = null;

  // Texts are the target's: they become text nodes, never markup.
  function make(name, className, ...children) {
    const element = document.createElement(name);
    if (className) element.className = className;
    for (const child of children) if (child !== null) element.append(child);
    return element;
  }
  const sign = (verdict) => data.verdicts[verdict].sign;
  const look = (verdict) => `v-${word(verdict).replace(" ", "-")}`;
  const word = (verdict) => data.verdicts[verdict].name;
  const grouped = (number) => number.toLocaleString("en");
  const plural = (number, what) => `${grouped(number)} ${what}${number === 1 ? "" : "s"}`;

  function tile(...verdicts) {
    if (verdicts.length === 1)
      return make("span", `tile ${look(verdicts[0])}`, sign(verdicts[0]));
    return make("span", "tile", ...verdicts.map((one) => make("i", look(one), sign(one))));
  }

  // ---- what fits the filter
  const texts = data.runs.map(() => null);
  function textOf(index) {
    if (texts[index] === null) {
      const run = data.runs[index];
      const point = data.points[run.point];
      texts[index] = [
        point.syscall, data.faults[run.fault], point.args, point.path, point.site, run.detail, run.mode,
        run.ended, ...data.stacks[point.stack].map((frame) => frame.join(" ")),
        ...Object.values(run.output).map((output) => data.outputs[output]),
      ].join("\n").toLowerCase();
    }
    return texts[index];
  }
  const fits = (index) => (!chosen.size || chosen.has(data.runs[index].verdict))
    && (!query || query.split(/\s+/).every((part) => textOf(index).includes(part)));

  // ---- head
  function head() {
    at("command").textContent = data.command;
    for (const [number, what] of data.facts) {
      const fact = make("span", "", ...(number ? [make("b", "", number), ` ${what}`] : [what]));
      at("facts").append(fact);
    }
    if (data.unfinished) {
      at("unfinished").textContent = `Unfinished: ${data.unfinished}`;
      at("unfinished").hidden = false;
    }
    data.verdicts.forEach((verdict, index) => {
      if (!verdict.count) return;
      const part = make("i", look(index));
      part.style.flexGrow = verdict.count;
      at("share").append(part);
      const card = make("button", "card", tile(index), make("b", "", grouped(verdict.count)),
        make("span", "name", verdict.name));
      card.type = "button";
      card.title = verdict.meaning;
      card.dataset.verdict = verdict.name;
      card.setAttribute("aria-pressed", "false");
      card.addEventListener("click", () => {
        if (!chosen.delete(index)) chosen.add(index);
        card.setAttribute("aria-pressed", String(chosen.has(index)));
        draw();
      });
      at("cards").append(card);
    });
  }

  // ---- findings
  function findings() {
    const list = at("findings");
    list.replaceChildren();
    let count = 0;
    data.findings.forEach((finding, index) => {
      if (finding.run === null ? chosen.size && !chosen.has(finding.verdict) : !fits(finding.run)) {
        const wanted = query && finding.title.toLowerCase().includes(query)
          && (!chosen.size || chosen.has(finding.verdict));
        if (!wanted) return;
      }
      count += 1;
      const often = make("span", "often", plural(finding.runs, "run"), " ");
      if (finding.flaky) often.append(make("span", "flaky", "flaky"));
      else if (finding.flaky === null) often.append("(not verified)");
      const button = make("button", "finding", tile(finding.verdict), make("b", "", finding.title), often);
      const run = finding.run === null ? null : data.runs[finding.run];
      if (run) {
        const point = data.points[run.point];
        const where = data.rows[run.row].function;
        button.append(make("span", "mono",
          `${point.syscall}, ${data.faults[run.fault]} ${run.mode}${where ? `, in ${where}` : ""}`));
      }
      button.type = "button";
      button.dataset.finding = index;
      button.setAttribute("aria-current", String(run !== null && finding.run === selected));
      button.prepend(make("span", "unseen", `${word(finding.verdict)}: `));
      button.addEventListener("click", () => {
        origin = button;
        if (finding.run !== null) show(finding.run);
      });
      const paper = make("div", "paper", make("pre", "", finding.command));
      if (run) {
        const frames = data.stacks[data.points[run.point].stack].filter((frame) => frame[2]).slice(0, 4);
        paper.prepend(make("p", "", run.detail), make("p", "mono soft", frames.map((f) => f[0]).join(" < ")));
      }
      list.append(make("li", "", button, paper));
    });
    at("findings-count").textContent = count === data.findings.length
      ? (count ? grouped(count) : "") : `${grouped(count)} of ${grouped(data.findings.length)}`;
    at("findings-none").hidden = count > 0;
    at("findings-none").textContent = data.findings.length ? "No finding fits." : "None: no fault made the program fail.";
  }

  // ---- the matrix
  let cells = [];
  function matrix() {
    const table = make("table");
    table.setAttribute("role", "grid");
    table.setAttribute("aria-labelledby", "matrix-title");
    const rows = data.rows.map((row, index) => ({
      row, index, fitting: row.cells.map(([, runs]) => runs.some(fits)),
    })).filter((one) => one.fitting.some(Boolean));
    // A column that no row needs is left out.
    const faults = data.faults.map((_, fault) => fault).filter((fault) =>
      rows.some(({row, fitting}) => row.cells.some(([one], at) => one === fault && fitting[at])));
    const corner = make("th", "corner", "call and place");
    corner.colSpan = 2;
    corner.scope = "col";
    const top = make("tr", "", corner);
    for (const fault of faults) {
      const cell = make("th", "fault", make("span", "", data.faults[fault]));
      cell.scope = "col";
      cell.title = data.faults[fault];
      top.append(cell);
    }
    top.append(make("td", "rest"));
    table.append(make("thead", "", top));
    const body = make("tbody");
    cells = [];
    rows.forEach(({row, index, fitting}, position) => {
      const line = make("tr");
      if (!position || rows[position - 1].row.syscall !== row.syscall) {
        line.className = "first";
        let same = 1;
        while (position + same < rows.length && rows[position + same].row.syscall === row.syscall) same += 1;
        const call = make("th", "call", row.syscall);
        call.scope = "rowgroup";
        call.rowSpan = same;
        call.title = row.syscall;
        line.append(call);
      }
      const where = make("th", "where", make("span", "mono", row.function || "no call stack"));
      if (row.callers.length) where.append(make("span", "soft mono", `‹ ${row.callers.join(" ‹ ")}`));
      where.title = [row.function, ...row.callers].join(" ‹ ");
      where.scope = "row";
      line.append(where);
      const byFault = new Map(row.cells.map(([fault, runs], at) => [fault, [runs, fitting[at]]]));
      const grid = [];
      for (const fault of faults) {
        const cell = make("td");
        const found = byFault.get(fault);
        cell.setAttribute("role", "gridcell");
        if (found) {
          const [runs, fit] = found;
          const modes = new Map();
          for (const run of runs) {
            const {mode, verdict} = data.runs[run];
            modes.set(mode, Math.min(verdict, modes.get(mode) ?? verdict));
          }
          const signs = [...modes.values()];
          cell.append(tile(...(signs.every((one) => one === signs[0]) ? [signs[0]] : signs.slice(0, 3))));
          cell.title = `${row.syscall}${row.function ? ` in ${row.function}` : ""}, ${data.faults[fault]}: `
            + [...modes].map(([mode, verdict]) => `${mode} ${word(verdict)}`).join(", ");
          cell.setAttribute("aria-label", cell.title);
          cell.tabIndex = -1;
          cell.dataset.cell = `${index}:${fault}`;
          cell.setAttribute("aria-selected", String(runs.includes(selected)));
          if (!fit) cell.className = "out";
          cell.runs = runs;
          cell.place = [cells.length, grid.length];
        }
        grid.push(found ? cell : null);
        line.append(cell);
      }
      line.append(make("td", "rest"));
      cells.push(grid);
      body.append(line);
    });
    table.append(body);
    at("matrix").replaceChildren(table);
    at("matrix").hidden = !rows.length;
    at("matrix-none").hidden = rows.length > 0;
    const first = body.querySelector("td[aria-selected=true]") || body.querySelector("td[tabindex]");
    if (first) first.tabIndex = 0;
    at("shown").textContent = chosen.size || query
      ? `${plural(data.runs.filter((_, index) => fits(index)).length, "run")} of ${grouped(data.runs.length)}`
      : "";
  }

  function cellOf(event) {
    const cell = event.target.closest("td[data-cell]");
    return cell && at("matrix").contains(cell) ? cell : null;
  }
  // The worst run of a cell that fits is the one to see first.
  const worst = (runs) => runs.filter(fits).concat(runs)
    .reduce((best, run) => (data.runs[run].verdict < data.runs[best].verdict && fits(run) ? run : best),
      runs.find(fits) ?? runs[0]);
  function choose(cell) {
    origin = cell;
    show(worst(cell.runs));
  }
  function move(cell, down, right) {
    let [row, column] = cell.place;
    for (;;) {
      row += down;
      column += right;
      if (!cells[row] || column < 0 || column >= cells[row].length) return;
      if (cells[row][column]) break;
    }
    focus(cells[row][column]);
  }
  function focus(cell) {
    for (const old of at("matrix").querySelectorAll("td[tabindex='0']")) old.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus({preventScroll: true});
    reveal(cell);
  }
  // The heads are sticky and would hide what the browser scrolls to.
  function reveal(cell) {
    const box = at("matrix");
    const outer = box.getBoundingClientRect();
    const inner = cell.getBoundingClientRect();
    const left = outer.left + (box.querySelector("thead .corner")?.offsetWidth ?? 0);
    const above = outer.top + (box.querySelector("thead")?.offsetHeight ?? 0);
    if (inner.left < left) box.scrollLeft -= left - inner.left;
    if (inner.right > outer.right) box.scrollLeft += inner.right - outer.right + 8;
    if (inner.top < above) box.scrollTop -= above - inner.top;
    if (inner.bottom > outer.bottom) box.scrollTop += inner.bottom - outer.bottom + 8;
    if (outer.top < 0 || outer.bottom > innerHeight) cell.scrollIntoView({block: "nearest", inline: "nearest"});
  }
  at("matrix").addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell) {
      focus(cell);
      choose(cell);
    }
  });
  at("matrix").addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = cells[cell.place[0]].filter(Boolean);
    switch (event.key) {
      case "ArrowDown": move(cell, 1, 0); break;
      case "ArrowUp": move(cell, -1, 0); break;
      case "ArrowRight": move(cell, 0, 1); break;
      case "ArrowLeft": move(cell, 0, -1); break;
      case "Home": focus(row[0]); break;
      case "End": focus(row[row.length - 1]); break;
      case "Enter":
      case " ": choose(cell); break;
      default: return;
    }
    event.preventDefault();
  });

  // ---- details
  function copier(text) {
    const button = make("button", "quiet", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", "Copy the command");
    button.addEventListener("click", async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Not on a page that came over plain http.
        const area = make("textarea", "unseen");
        area.value = text;
        document.body.append(area);
        area.select();
        done = document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = done ? "Copied" : "Select and copy it";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
    return button;
  }
  // A line is not broken within an option: browsers break behind any hyphen.
  function command(text) {
    const words = text.split(/(?<= )(-\S{0,40})(?= |$)/);
    return make("pre", "command", ...words.map((one, index) => (index % 2 ? make("span", "whole", one) : one)));
  }
  function entry(list, name, ...value) {
    list.append(make("dt", "", name), make("dd", "", ...value));
  }
  function show(index, quietly) {
    const run = data.runs[index];
    const point = data.points[run.point];
    const row = data.rows[run.row];
    selected = index;
    const panel = at("details");
    const close = make("button", "quiet close", "Close");
    close.type = "button";
    close.addEventListener("click", shut);
    const title = make("h2", "", `${point.syscall}: ${data.faults[run.fault]}`);
    const parts = [
      make("div", "top", tile(run.verdict), make("b", "", word(run.verdict)),
        make("span", "", data.verdicts[run.verdict].meaning), close),
      title,
    ];
    if (row.function) parts.push(make("p", "in mono", `in ${[row.function, ...row.callers].join(" ‹ ")}`));
    const siblings = row.cells.find(([fault]) => fault === run.fault)[1];
    if (siblings.length > 1) {
      const group = make("div", "runs");
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", "Runs of this cell");
      const sites = new Set(siblings.map((one) => data.runs[one].point)).size > 1;
      for (const one of siblings) {
        const other = data.runs[one];
        const button = make("button", "", tile(other.verdict),
          other.mode + (sites ? ` ${data.points[other.point].site}` : ""));
        button.type = "button";
        button.setAttribute("aria-pressed", String(one === index));
        button.append(make("span", "unseen", ` ${word(other.verdict)}`));
        button.addEventListener("click", () => {
          show(one);
          panel.querySelector(".runs [aria-pressed=true]").focus();
        });
        group.append(button);
      }
      parts.push(group);
    }
    if (run.detail) parts.push(make("p", "reason", run.detail));
    parts.push(make("h3", "", "Repeat it", copier(run.command)), command(run.command));
    const facts = make("dl");
    const finding = data.findings[run.finding];
    if (finding) {
      const link = make("button", "link", finding.title);
      link.type = "button";
      if (finding.run !== null && finding.run !== index) link.addEventListener("click", () => show(finding.run));
      else link.disabled = true;
      entry(facts, "Finding", finding.run === index ? finding.title : link,
        make("span", "soft", ` ${plural(finding.runs, "run")}${finding.flaky ? ", flaky" : ""}`));
    }
    entry(facts, "Call", make("code", "", `${point.syscall}(${point.args})`));
    if (point.path) entry(facts, "Path", make("code", "", point.path));
    entry(facts, "Site", make("code", "", point.site), make("span", "soft", `  ${run.mode}`));
    if (run.ended) entry(facts, "Ended", run.ended);
    parts.push(facts);
    const stack = data.stacks[point.stack];
    if (stack.length) {
      const list = make("ol", "stack");
      for (const [place, library, own] of stack) {
        const frame = make("span", "", library.split("/").pop());
        frame.title = library;
        list.append(make("li", own ? "" : "system", make("b", "", place), frame));
      }
      parts.push(make("h3", "", "Call stack"), list);
    }
    for (const name of ["stderr", "stdout", "check"]) {
      if (!(name in run.output)) continue;
      const heading = name === "check" ? "Output of the check" : `End of ${name}`;
      parts.push(make("h3", "", heading), make("pre", `output ${name}`, data.outputs[run.output[name]]));
    }
    panel.replaceChildren(...parts);
    panel.scrollTop = 0;
    panel.dataset.run = index;
    current = null;
    for (const cell of at("matrix").querySelectorAll("td[data-cell]")) {
      const here = cell.runs.includes(index);
      if (here) current = cell;
      if (here || cell.getAttribute("aria-selected") === "true") cell.setAttribute("aria-selected", String(here));
    }
    for (const button of at("findings").querySelectorAll(".finding"))
      button.setAttribute("aria-current", String(data.findings[button.dataset.finding].run === index));
    if (!quietly) {
      panel.classList.add("open");
      history.replaceState(null, "", `#${encodeURIComponent(run.key)}`);
      if (current && origin !== current) reveal2(current);
      if (getComputedStyle(panel).position === "fixed") close.focus();
    }
  }
  // Scroll the matrix, not the page: the finding that was clicked stays where it is.
  function reveal2(cell) {
    const box = at("matrix");
    box.scrollTop = Math.max(0, cell.parentElement.offsetTop - box.clientHeight / 2);
    box.scrollLeft = Math.max(0, cell.offsetLeft - box.clientWidth / 2 - 200);
  }
  function shut() {
    at("details").classList.remove("open");
    if (origin && origin.isConnected) origin.focus();
  }

  // ---- all together
  function draw() {
    findings();
    matrix();
    at("clear").hidden = !chosen.size && !query;
  }
  let timer = 0;
  function search() {
    query = at("search").value.trim().toLowerCase();
    draw();
  }
  at("search").addEventListener("input", () => {
    clearTimeout(timer);
    if (data.runs.length > MANY) timer = setTimeout(search, 150);
    else search();
  });
  at("clear").addEventListener("click", () => {
    chosen.clear();
    query = at("search").value = "";
    for (const card of at("cards").children) card.setAttribute("aria-pressed", "false");
    draw();
    at("search").focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && at("details").classList.contains("open")) shut();
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
      event.preventDefault();
      at("search").focus();
    }
  });
  function linked() {
    let key = "";
    try {
      key = decodeURIComponent(location.hash.slice(1));
    } catch {
      return -1;
    }
    return key ? data.runs.findIndex((run) => run.key === key) : -1;
  }
  addEventListener("hashchange", () => {
    const index = linked();
    if (index >= 0) show(index);
  });
  head();
  at("matrix-note").textContent = `${plural(data.rows.length, "kind")} of call; two signs: once, then persistently`;
  draw();
  const wanted = linked();
  const worstFinding = data.findings.find((finding) => finding.run !== null);
  if (wanted >= 0) show(wanted);
  else if (worstFinding) show(worstFinding.run, true);
  else if (data.runs.length) show(data.runs.reduce((best, run, index) =>
    (run.verdict < data.runs[best].verdict ? index : best), 0), true);
  document.documentElement.dataset.ready = "true";
})();
