"use strict";

// ---- times: in the viewer's zone, UTC on hover -------------------------------------------------

const parts = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
const thisYear = new Intl.DateTimeFormat(undefined, parts);
const anyYear = new Intl.DateTimeFormat(undefined, { year: "numeric", ...parts });
for (const element of document.querySelectorAll("time[datetime]")) {
  element.title = element.textContent;
  const instant = new Date(element.dateTime);
  const near = instant.getFullYear() === new Date().getFullYear();
  element.textContent = (near ? thisYear : anyYear).format(instant);
}

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
        borderWidth: canvas.dataset.kind === "line" ? 2 : 0,
        pointRadius: canvas.dataset.kind === "line" ? 2 : 0,
        maxBarThickness: 28,
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: canvas.dataset.kind !== "line", grid: { display: false }, ticks },
        y: {
          stacked: canvas.dataset.kind !== "line", beginAtZero: true, grid,
          ticks: { ...ticks, precision: 0 },
          title: { display: Boolean(canvas.dataset.unit), text: canvas.dataset.unit, color: colour("muted") },
        },
      },
      plugins: {
        legend: { position: "bottom", labels: { color: colour("text"), boxWidth: 12, boxHeight: 12 } },
        tooltip: { filter: (item) => item.raw !== 0 },
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
