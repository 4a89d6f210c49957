"use strict";
const STEP = { minute: 60e3, hour: 3600e3, day: 86400e3 };
const BARS = { minute: 60, hour: 48, day: 31 };
const REFRESH_MS = 2000;
const byId = (id) => document.getElementById(id);
const number = (n) => n.toLocaleString("en");
const time = (text) => Date.parse(text.replace(" ", "T") + "Z");
let data = JSON.parse(byId("data").textContent);
let period = "hour";
let picked = null; // the start of the window that the reader chose; null follows the newest
const live = location.protocol.startsWith("http");

function element(tag, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

function label(ms) {
  const iso = new Date(ms).toISOString();
  return period === "day" ? iso.slice(0, 10) : iso.slice(0, 16).replace("T", " ");
}

function tile(name, value, small) {
  const box = element("div", "", { className: "card" });
  box.append(element("dt", name), element("dd", value, { className: small ? "small" : "" }));
  return box;
}

/** The last windows of the period, oldest first; null where no event fell into one. */
function series() {
  const known = new Map(data.windows[period].map((w) => [time(w.start), w]));
  const last = Math.max(...known.keys());
  return Array.from({ length: BARS[period] }, (_, i) => {
    const start = last - (BARS[period] - 1 - i) * STEP[period];
    return [start, known.get(start) || null];
  });
}

function drawTiles() {
  const day = data.windows.day.at(-1);
  byId("tiles").replaceChildren(
    tile("Events", number(data.events)),
    tile("Visitors on " + day.start.slice(0, 10), number(day.visitors)),
    tile("Sessions on " + day.start.slice(0, 10), number(day.sessions)),
    tile("Latest event (UTC)", data.latest.slice(0, 19).replace("T", " "), true),
    tile("Files of " + number(data.every), number(data.files)),
    tile("Late for their minute", number(data.late)),
    tile("Bad messages", number(data.quarantined)),
    tile("Missing from the stream", number(data.missing)),
  );
}

function drawChart() {
  const bars = series();
  const known = bars.filter(([, w]) => w);
  const chosen = known.find(([start]) => start === picked) || known.at(-1);
  const most = Math.max(...known.map(([, w]) => w.events), 1);
  byId("title").textContent = `Events per ${period}`;
  byId("chart").replaceChildren(...bars.map(([start, w]) => bar(start, w, most, w === chosen[1])));
  byId("axis").replaceChildren(
    element("span", label(bars[0][0])), element("span", `highest: ${number(most)}`),
    element("span", label(bars.at(-1)[0])));
  drawPicked(...chosen);
  for (const kind of ["path", "source"]) drawTop(kind, chosen[1]);
  for (const button of document.querySelectorAll("[data-period]")) {
    button.setAttribute("aria-pressed", button.dataset.period === period);
  }
}

function bar(start, w, most, chosen) {
  const button = element("button", "", { className: "bar" + (w && !w.closed ? " open" : "") });
  button.title = `${label(start)}: ${number(w ? w.events : 0)} events`;
  button.setAttribute("aria-label", button.title);
  button.setAttribute("aria-pressed", chosen);
  const fill = element("i", "");
  fill.style.height = w && w.events ? `max(2px, ${(100 * w.events) / most}%)` : "0";
  button.append(fill);
  button.disabled = !w;
  button.onclick = () => { picked = start; drawChart(); };
  return button;
}

function drawPicked(start, w) {
  const parts = [[w.events, "events"], [w.visitors, "visitors"], [w.sessions, "sessions"]];
  if (w.bots) parts.push([w.bots, "events by bots"]);
  if (w.late) parts.push([w.late, "late"]);
  byId("picked").replaceChildren(`${label(start)}: `, ...parts.flatMap(([n, name], i) =>
    [i ? ", " : "", element("b", number(n)), ` ${name}`]), w.closed ? "" : " (still open)");
}

function drawTop(kind, w) {
  const rows = w.tops[kind].map(([name, events]) => {
    const row = element("tr", "");
    row.append(element("td", name), element("td", number(events)));
    return row;
  });
  byId(kind).replaceChildren(...rows);
}

function draw() {
  const empty = !data.windows || !data.windows.day.length;
  byId("empty").hidden = !empty;
  byId("board").hidden = empty;
  byId("empty").textContent = data.problem || "No event has been read yet.";
  byId("stream").textContent = data.stream || "";
  if (empty) return;
  drawTiles();
  drawChart();
}

function say(text, kind) {
  byId("state").textContent = text;
  byId("state").className = kind;
}

async function refresh() {
  try {
    const answer = await fetch("data.json");
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    if (text !== refresh.last) {
      refresh.last = text;
      data = JSON.parse(text);
      draw();
    }
    say("live", "live");
  } catch {
    say("the server does not answer", "lost");
  }
  setTimeout(refresh, REFRESH_MS);
}

document.querySelector(".periods").onclick = (click) => {
  if (!click.target.dataset.period) return;
  period = click.target.dataset.period;
  picked = null;
  drawChart();
};
draw();
if (live) refresh();
else say(`as of ${data.written.slice(0, 16).replace("T", " ")} UTC`, "");
