"use strict";
// The page reads without this; it only sorts, filters, and points out a method in the figures.
const number = (text) => {
  const found = text.trim().match(/^[+-]?\d+(\.\d+)?/);
  return found ? parseFloat(found[0]) : null;
};
const text = (row, column) => row.cells[column].textContent;

function sort(table, head, column) {
  const up = head.getAttribute("aria-sort") === "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  const numeric = rows.some((row) => number(text(row, column)) !== null);
  rows.sort((a, b) => {
    if (!numeric) return text(a, column).localeCompare(text(b, column)) * (up ? 1 : -1);
    const [x, y] = [number(text(a, column)), number(text(b, column))];
    if (x === null || y === null) return (x === null) - (y === null); // what has no number is last
    return (x - y) * (up ? 1 : -1);
  });
  table.tBodies[0].append(...rows);
}

function filter(table, words, flagged, said) {
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const here = row.textContent.toLowerCase();
    const fits = words.every((word) => here.includes(word));
    row.hidden = !fits || (flagged && !row.querySelector(".flag"));
    shown += !row.hidden;
  }
  said.textContent = shown + " of " + table.tBodies[0].rows.length + " rows";
}

function control(table) {
  const box = document.createElement("div");
  box.className = "filter";
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Filter rows";
  search.setAttribute("aria-label", "Filter rows of " + table.parentElement.getAttribute("aria-label"));
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  const only = document.createElement("input");
  only.type = "checkbox";
  const renew = () =>
    filter(table, search.value.toLowerCase().split(/\s+/).filter(Boolean), only.checked, said);
  search.addEventListener("input", renew);
  only.addEventListener("input", renew);
  box.append(search);
  if (table.hasAttribute("data-flagged")) {
    const label = document.createElement("label");
    label.append(only, " only with flags");
    box.append(label);
  }
  box.append(said);
  table.parentElement.before(box);
}

for (const table of document.querySelectorAll("table.sorted")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(table, head, column));
    head.replaceChildren(button);
  });
  if (table.tBodies[0].rows.length > 5) control(table);
}

// Hovering a method in one figure points it out in that figure.
for (const figure of document.querySelectorAll("figure")) {
  const groups = figure.querySelectorAll("g[data-m]");
  const dim = (name) => {
    for (const group of groups) group.classList.toggle("dim", name !== null && group.dataset.m !== name);
  };
  for (const group of groups) {
    if (!group.dataset.m) continue;
    group.addEventListener("mouseenter", () => dim(group.dataset.m));
    group.addEventListener("mouseleave", () => dim(null));
  }
}

// A link to a training opens it.
const open = () => {
  const there = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (there && there.tagName === "DETAILS") there.open = true;
};
addEventListener("hashchange", open);
open();
