// Interactive parts of the report: tables sort and filter, the map zooms and shows a cell's label.
// Without scripts, and in print, the same content is there as tables and pictures.
"use strict";

const MIN_ROWS_TO_FILTER = 12;

// ---- Tables ----

for (const table of document.querySelectorAll("table.data")) {
  const head = document.createElement("thead");
  while (table.rows.length && [...table.rows[0].cells].every((cell) => cell.tagName === "TH")) head.append(table.rows[0]);
  table.prepend(head);
  const body = table.tBodies[0];
  if (!body || !body.rows.length) continue;
  if (body.rows.length > 1) columnHeads(head).forEach((cell, column) => makeSortable(table, cell, column));
  if (body.rows.length >= MIN_ROWS_TO_FILTER) addFilter(table);
}

// The head cell directly above each column; heads can span rows and columns.
function columnHeads(head) {
  const above = [...head.rows].map(() => []);
  [...head.rows].forEach((row, y) => {
    let x = 0;
    for (const cell of row.cells) {
      while (above[y][x]) x++;
      for (let down = 0; down < cell.rowSpan && y + down < above.length; down++)
        for (let right = 0; right < cell.colSpan; right++) above[y + down][x + right] = cell;
      x += cell.colSpan;
    }
  });
  return above.length ? above[above.length - 1] : [];
}

function makeSortable(table, cell, column) {
  if (!cell.textContent.trim() || cell.colSpan > 1 || cell.querySelector("button")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.title = "Sort by this column";
  button.append(...cell.childNodes);
  cell.append(button);
  button.addEventListener("click", () => {
    // The first click sorts numbers in descending and names in ascending order.
    const numeric = cell.classList.contains("number");
    const before = cell.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : numeric;
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
    rows.sort(([a], [b]) => compare(a, b, descending));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  });
}

// The cell's number ("1,234", "56.7%", "12 MB", or data-value), null if nothing was measured, or the text.
function valueOf(cell) {
  const text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
  if (text === "" || text === "–") return null;
  const number = cell.classList.contains("number") ? Number.parseFloat(text.replaceAll(",", "")) : Number.NaN;
  return Number.isNaN(number) ? text : number;
}

// Missing values are last in both orders.
function compare(a, b, descending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order =
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return descending ? -order : order;
}

function addFilter(table) {
  const box = document.createElement("p");
  box.className = "filter";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "filter rows";
  input.setAttribute("aria-label", "Show only rows that contain");
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  box.append(input, status);
  (table.closest(".scroll") ?? table).before(box);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    status.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
  });
}

// Print opens all folded parts.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((folded) => (folded.open = true)));

// ---- The map ----

const NO_PROBABILITY = 255;
const STEPS = 65535;
const PLAIN = "#e4e4e4";
// matplotlib's cividis at 0, .2, ... 1
const RAMP = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];

const mapData = document.getElementById("map-data");
if (mapData) drawMap(JSON.parse(mapData.textContent));

function drawMap(data) {
  const element = (id) => document.getElementById(id);
  const canvas = element("map-canvas"), key = element("map-key"), hint = element("map-hint"), chooser = element("map-by");
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const shorts = (text) => new Uint16Array(bytes(text).buffer);
  const x = shorts(data.x), y = shorts(data.y), probability = bytes(data.probability);
  const codes = Object.fromEntries(Object.entries(data.by).map(([name, by]) => [name, shorts(by.codes)]));
  const width = Math.max(...x) || 1, height = Math.max(...y) || 1;
  const context = canvas.getContext("2d");
  let zoom = 1, left = 0, top = 0; // position of the view, in steps of the map
  let scale = 1; // pixels of the screen per step
  const chosen = new Set(); // selected names of the legend
  let waiting = false;

  element("map").classList.add("on");

  function colorOf(cell, by) {
    if (by !== "probability") return data.by[by].colors[codes[by][cell]] ?? PLAIN;
    if (probability[cell] === NO_PROBABILITY) return PLAIN;
    const place = (probability[cell] / 100) * (RAMP.length - 1), step = Math.min(Math.floor(place), RAMP.length - 2);
    const mixed = RAMP[step].map((channel, n) => Math.round(channel + (place - step) * (RAMP[step + 1][n] - channel)));
    return `rgb(${mixed.join(",")})`;
  }

  function place(cell) {
    return [(x[cell] - left) * scale, (y[cell] - top) * scale];
  }

  function fit() {
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw();
  }

  function draw() {
    waiting = false;
    const by = chooser.value, margin = 16;
    scale = zoom * Math.min((canvas.clientWidth - 2 * margin) / width, (canvas.clientHeight - 2 * margin) / height);
    if (zoom === 1) {
      left = (width - canvas.clientWidth / scale) / 2;
      top = (height - canvas.clientHeight / scale) / 2;
    }
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const radius = Math.min(6, Math.max(1.3, Math.sqrt(20000 / data.n) * 0.8) * Math.sqrt(zoom));
    // Selected cells are drawn above the others.
    for (const seen of chosen.size ? [false, true] : [true]) {
      for (let cell = 0; cell < data.n; cell++) {
        const isSeen = !chosen.size || chosen.has(codes[by]?.[cell]);
        if (isSeen !== seen) continue;
        const [across, down] = place(cell);
        if (across < -9 || down < -9 || across > canvas.clientWidth + 9 || down > canvas.clientHeight + 9) continue;
        context.fillStyle = seen ? colorOf(cell, by) : "#eeeeee";
        context.beginPath();
        context.arc(across, down, radius, 0, 2 * Math.PI);
        context.fill();
      }
    }
    // Lets a test detect that the map was drawn.
    canvas.dataset.drawn = `${by} ${data.n}`;
  }

  function redraw() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  function zoomBy(factor, across = canvas.clientWidth / 2, down = canvas.clientHeight / 2) {
    const before = scale, next = Math.min(200, Math.max(1, zoom * factor));
    const after = (before * next) / zoom;
    left += across / before - across / after;
    top += down / before - down / after;
    zoom = next;
    redraw();
  }

  function moveBy(across, down) {
    if (zoom === 1) return;
    left -= across / scale;
    top -= down / scale;
    redraw();
  }

  function showAll() {
    zoom = 1;
    redraw();
  }

  function writeKey() {
    chosen.clear();
    key.replaceChildren();
    const by = chooser.value;
    if (by === "probability") {
      const ramp = document.createElement("li");
      ramp.innerHTML = 'probability of the best label<div class="ramp"></div><span>0</span><span style="float:right">1</span>';
      key.append(ramp);
      return;
    }
    data.by[by].names.forEach((name, code) => {
      const item = document.createElement("li"), button = document.createElement("button"), dot = document.createElement("span");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      dot.className = "dot";
      dot.style.background = data.by[by].colors[code];
      button.append(dot, name);
      button.addEventListener("click", () => {
        if (!chosen.delete(code)) chosen.add(code);
        button.setAttribute("aria-pressed", String(chosen.has(code)));
        redraw();
      });
      item.append(button);
      key.append(item);
    });
  }

  function describe(cell) {
    const name = (by) => data.by[by].names[codes[by][cell]];
    const said = [name("label") ?? "no label"];
    if (probability[cell] !== NO_PROBABILITY) said.push(`probability ${(probability[cell] / 100).toFixed(2)}`);
    said.push(`dataset ${name("dataset")}`, `batch ${name("batch")}`);
    return said.join("\n");
  }

  function nearest(across, down) {
    let best = -1, least = 64;
    for (let cell = 0; cell < data.n; cell++) {
      if (chosen.size && !chosen.has(codes[chooser.value]?.[cell])) continue;
      const [cellAcross, cellDown] = place(cell);
      const distance = (cellAcross - across) ** 2 + (cellDown - down) ** 2;
      if (distance < least) [best, least] = [cell, distance];
    }
    return best;
  }

  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => (dragged = null));
  canvas.addEventListener("pointermove", (event) => {
    if (dragged) {
      moveBy(event.clientX - dragged[0], event.clientY - dragged[1]);
      dragged = [event.clientX, event.clientY];
    }
    const cell = dragged ? -1 : nearest(event.offsetX, event.offsetY);
    hint.style.display = cell < 0 ? "none" : "block";
    if (cell < 0) return;
    hint.textContent = describe(cell);
    hint.style.whiteSpace = "pre-line";
    const frame = element("map").getBoundingClientRect();
    const across = event.clientX - frame.left + 14;
    hint.style.left = `${Math.max(0, Math.min(across, frame.width - hint.offsetWidth - 4))}px`;
    hint.style.top = `${event.clientY - frame.top + 14}px`;
  });
  canvas.addEventListener("pointerleave", () => (hint.style.display = "none"));
  canvas.addEventListener("dblclick", (event) => zoomBy(2, event.offsetX, event.offsetY));
  canvas.addEventListener(
    "wheel",
    (event) => {
      // Without Ctrl the wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const ways = {
      ArrowLeft: () => moveBy(40, 0),
      ArrowRight: () => moveBy(-40, 0),
      ArrowUp: () => moveBy(0, 40),
      ArrowDown: () => moveBy(0, -40),
      "+": () => zoomBy(1.5),
      "=": () => zoomBy(1.5),
      "-": () => zoomBy(1 / 1.5),
      0: showAll,
    };
    if (!ways[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    ways[event.key]();
  });
  element("map-in").addEventListener("click", () => zoomBy(1.5));
  element("map-out").addEventListener("click", () => zoomBy(1 / 1.5));
  element("map-all").addEventListener("click", showAll);
  chooser.addEventListener("change", () => {
    writeKey();
    redraw();
  });
  addEventListener("resize", fit);
  writeKey();
  fit();
}
