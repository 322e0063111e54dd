// The live part of the status page. Everything that comes from the server is text: textContent, never markup.
"use strict";

const COLUMNS = [
  ["user", (s) => (s.user || "–") + (s.host ? "@" + s.host : "")],
  ["address", (s) => s.peer],
  ["listener", (s) => s.listener],
  ["TLS", (s) => (s.tls || (s.is_secure ? "" : "clear")).replace("TLSv", "")],
  ["since", (s) => duration(s.seconds), (s) => s.seconds],
  ["idle", (s) => duration(s.idle), (s) => s.idle],
  ["rate", (s) => (rate(s) ? size(rate(s)) + "/s" : ""), (s) => rate(s)],
  ["doing", doing],
];
const HEIGHT = 180;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
let sessions = [], total = 0, sortedBy = 6, isDescending = true, charts = null;

function $(id) { return document.getElementById(id); }

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function size(count) {
  let power = 0;
  while (count >= 1024 && power < UNITS.length - 1) { count /= 1024; power++; }
  return (power ? count.toFixed(1) : Math.round(count)) + " " + UNITS[power];
}

function duration(seconds) {
  const s = Math.floor(seconds), two = (n) => String(n).padStart(2, "0");
  if (s < 60) return s + "s";
  if (s < 3600) return Math.floor(s / 60) + "m" + two(s % 60);
  if (s < 86400) return Math.floor(s / 3600) + "h" + two(Math.floor(s / 60) % 60);
  return Math.floor(s / 86400) + "d" + two(Math.floor(s / 3600) % 24);
}

function rate(s) { return s.transfer_seconds > 0 ? s.moved / s.transfer_seconds : 0; }

function doing(s) {
  if (!s.command) return "";
  const path = s.path || s.argument;
  return s.transfer_seconds === null ? (s.command + " " + path).trim() : s.command + " " + path;
}

function cell(s, [name, text]) {
  const made = element("td", undefined, { "data-name": name });
  if (name === "doing" && s.transfer_seconds !== null) {
    const way = s.direction === "upload" ? "up" : "down";
    made.append(element("span", way === "up" ? "↑ " : "↓ ", { class: way, title: s.direction }));
    if (s.size) {
      const percent = Math.min(100, Math.floor((100 * s.moved) / s.size));
      const bar = element("progress", percent + " %", { max: 100, value: percent, "aria-label": "transferred" });
      made.append(bar, " " + percent + " % of " + size(s.size) + " ");
    } else made.append(size(s.moved) + " ");
    made.append(text(s));
  } else made.textContent = text(s);
  return made;
}

function drawSessions() {
  const wanted = $("filter").value.toLowerCase();
  const key = COLUMNS[sortedBy][2] || COLUMNS[sortedBy][1];
  const shown = sessions.filter((s) => !wanted || COLUMNS.some(([, text]) => text(s).toLowerCase().includes(wanted)));
  shown.sort((a, b) => {
    const one = key(a), other = key(b);
    const order = typeof one === "number" ? one - other : String(one).localeCompare(String(other));
    return isDescending ? -order : order;
  });
  $("rows").replaceChildren(...shown.map((s) => {
    const row = element("tr");
    row.append(...COLUMNS.map((column) => cell(s, column)));
    return row;
  }));
  const others = total > sessions.length ? ", the busiest of " + total : "";
  $("shown").textContent = shown.length + (shown.length === 1 ? " session" : " sessions") + others;
}

function drawHead() {
  $("head").replaceChildren(...COLUMNS.map(([name], number) => {
    const head = element("th", undefined, { scope: "col" });
    if (number === sortedBy) head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    const button = element("button", name, { type: "button" });
    button.addEventListener("click", () => {
      isDescending = number === sortedBy ? !isDescending : number > 3;
      sortedBy = number;
      drawHead();
      drawSessions();
      $("head").querySelectorAll("button")[number].focus();
    });
    head.append(button);
    return head;
  }));
}

function drawStatus(now) {
  $("state").textContent = now.ready ? "ready" : "not ready";
  $("state").className = "state " + (now.ready ? "good" : "bad");
  for (const place of document.querySelectorAll("[data-key]")) {
    const value = place.dataset.key.split("\u001f").reduce((found, name) => (found || {})[name], now.status);
    if (value === undefined) continue;
    const text = Array.isArray(value) ? value.join(", ") : String(value === null ? "none" : value);
    if (place.textContent !== text) place.textContent = text;
  }
}

function chart(place, series, axis) {
  const style = getComputedStyle(document.documentElement);
  const dim = style.getPropertyValue("--dim"), line = style.getPropertyValue("--line");
  const axes = [{ stroke: dim, grid: { stroke: line } }, { stroke: dim, grid: { stroke: line }, size: 90, ...axis }];
  const now = () => Date.now() / 1000;
  const scales = { x: { range: () => [now() - 3600, now()] }, y: { range: (u, low, high) => [0, high || 1] } };
  const options = { width: width(place), height: HEIGHT, series: [{}, ...series], axes, scales };
  return new uPlot(options, [[], ...series.map(() => [])], place);
}

function width(place) { return Math.max(100, place.clientWidth - 24); }

function drawCharts(history) {
  if (charts === null) {
    const bytes = (u, values) => values.map((v) => size(v) + "/s");
    const value = (u, v) => (v === null || v === undefined ? "–" : size(v) + "/s");
    charts = [
      chart($("throughput"), [{ label: "up", stroke: "#2a7ab9", fill: "#2a7ab922", value }, { label: "down", stroke: "#b8741a", value }], { values: bytes }),
      chart($("refusals"), [{ label: "refused a minute", stroke: "#c0392b", fill: "#c0392b22" }], {}),
    ];
    const places = [$("throughput"), $("refusals")];
    addEventListener("resize", () => charts.forEach((each, at) => each.setSize({ width: width(places[at]), height: HEIGHT })));
  }
  charts[0].setData([history.times, history.up, history.down]);
  charts[1].setData([history.times, history.refused]);
}

function begin() {
  $("live").hidden = false;
  drawHead();
  $("filter").addEventListener("input", drawSessions);
  const source = new EventSource("live");
  source.addEventListener("now", (event) => {
    const now = JSON.parse(event.data);
    drawStatus(now);
    $("sessions").hidden = now.sessions === null;
    $("withheld").hidden = now.sessions !== null;
    [sessions, total] = [now.sessions || [], now.total];
    drawSessions();
    $("connection").textContent = now.missing.length ? "without " + now.missing.join(", ") + ", which does not answer" : "";
    $("updated").textContent = "as of " + new Date().toLocaleTimeString();
  });
  source.addEventListener("history", (event) => drawCharts(JSON.parse(event.data)));
  let lost = null;
  source.addEventListener("open", () => { clearTimeout(lost); });
  source.addEventListener("error", () => {
    clearTimeout(lost);
    lost = setTimeout(() => { $("connection").textContent = "the server does not answer"; }, 5000);
  });
}

begin();
