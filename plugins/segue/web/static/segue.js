"use strict";

// ---- times: in the zone that was chosen in Airflow, written as Airflow does, UTC on hover --------

// Airflow keeps the choice in localStorage under "timezone", as JSON; without one it takes the
// browser's zone (useLocalStorage(TIMEZONE_KEY, Intl…timeZone) in its TimezoneProvider, 3.3).
function chosenZone() {
  try {
    const zone = JSON.parse(localStorage.getItem("timezone"));
    if (typeof zone === "string" && new Intl.DateTimeFormat("en", { timeZone: zone })) return zone;
  } catch (refused) {
    // storage is switched off, or holds no zone
  }
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function showTimes() {
  const zone = chosenZone();
  const digits = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" };
  const format = new Intl.DateTimeFormat("en", { ...digits, timeZone: zone, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn" });
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.dataset.utc ??= element.textContent;
    const part = Object.fromEntries(format.formatToParts(new Date(element.dateTime)).map(({ type, value }) => [type, value]));
    element.textContent = `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}`;
    element.title = zone === "UTC" ? element.dataset.utc : `${element.textContent} ${zone}, ${element.dataset.utc}`;
  }
  for (const element of document.querySelectorAll("[data-zone]")) {
    element.textContent = zone;
    element.parentElement.hidden = !document.querySelector("time[datetime]");
  }
}

showTimes();
addEventListener("storage", (event) => event.key === "timezone" && showTimes());

// ---- what takes long says that it is under way ---------------------------------------------------

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-waits]");
  if (!anchor || event.ctrlKey || event.metaKey) return;
  anchor.setAttribute("aria-busy", "true");
  if (anchor.dataset.waits) anchor.textContent = anchor.dataset.waits;
});

// ---- links out of the frame --------------------------------------------------------------------

// Airflow's frame lets a page open neither a window nor its parent. An anchor of the parent's own
// document may: "here" replaces the page around the frame, "new" opens a tab.
document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[data-opens]");
  if (!anchor || window.parent === window || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const outside = window.parent.document.createElement("a");
  outside.href = anchor.href;
  if (anchor.dataset.opens === "new") {
    outside.target = "_blank";
    outside.rel = "noopener noreferrer";
  }
  outside.click();
});

// ---- dialogs: a button with data-confirms opens the dialog of that id --------------------------

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-confirms]");
  if (opener) document.getElementById(opener.dataset.confirms).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
});

// one form is sent once, however often the button is pressed
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  for (const button of event.target.querySelectorAll("button:not([type=button])")) {
    setTimeout(() => { button.disabled = true; });
  }
});

// a filter that is chosen is applied; text waits for the button
document.addEventListener("change", (event) => {
  if (event.target.matches(".filters select")) event.target.form.requestSubmit();
});

// ---- charts: a canvas with data-chart ----------------------------------------------------------

const charts = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function drawStack(canvas) {
  const line = canvas.dataset.kind === "line";
  const data = JSON.parse(canvas.dataset.chart);
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" });
  const grid = { color: colour("border") };
  const ticks = { color: colour("muted"), font: { size: 12 } };
  return new Chart(canvas, {
    type: canvas.dataset.kind || "bar",
    data: {
      labels: data.labels.map((label) => day.format(new Date(label))),
      datasets: data.series.map((series) => ({
        label: series.label || series.name.replaceAll("_", " "),
        data: series.values,
        backgroundColor: colour(`series-${series.name}`),
        borderColor: colour(`series-${series.name}`),
        borderWidth: line ? 2 : 0,
        pointRadius: line ? 2 : 0,
        pointHitRadius: 12,
        spanGaps: true, // days without a snapshot
        maxBarThickness: 28,
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: {
          stacked: !line, grid: { display: false },
          ticks: { ...ticks, maxRotation: 0, autoSkipPadding: 14 },
        },
        y: {
          stacked: !line, beginAtZero: !line, grace: line ? "10%" : 0, grid,
          ticks: { ...ticks, precision: 0 },
          title: { display: Boolean(canvas.dataset.unit), text: canvas.dataset.unit, color: colour("muted") },
        },
      },
      plugins: {
        legend: { display: !line, position: "bottom", labels: { color: colour("text"), boxWidth: 12, boxHeight: 12 } },
        tooltip: { filter: (item) => line || item.raw !== 0 },
      },
    },
  });
}

function drawAll() {
  for (const chart of charts.splice(0)) chart.destroy();
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) charts.push(drawStack(canvas));
}

if (window.Chart) {
  drawAll();
  document.addEventListener("segue:theme", drawAll);
}
