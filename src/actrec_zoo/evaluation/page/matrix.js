/* The confusion matrix: a window of at most WINDOW classes in the chosen order; what lies outside is a column of its own. */
const WINDOW = 40;
const LONGEST = 22;
const OTHERS = -1;
const matrix = document.getElementById("matrix");
const counts = new Map(data.cells.map(([truth, predicted, n]) => [truth * (classes + 1) + predicted, n]));
const countOf = (truth, predicted) => counts.get(truth * (classes + 1) + predicted) || 0;
const failures = data.labels.some((_, label) => countOf(label, classes));
const rightOf = data.labels.map((_, label) => countOf(label, label));
const accuracyOf = (label) => (data.support[label] ? rightOf[label] / data.support[label] : 2);

const ORDERS = {
  class: (a, b) => data.labels[a].localeCompare(data.labels[b]) || a - b,
  accuracy: (a, b) => accuracyOf(a) - accuracyOf(b) || a - b,
  support: (a, b) => data.support[b] - data.support[a] || a - b,
  errors: (a, b) => data.support[b] - rightOf[b] - (data.support[a] - rightOf[a]) || a - b,
};
const view = { start: 0, labels: [], columns: [] };

/* The predicted classes that a column stands for. */
function predictedOf(column) {
  if (column !== OTHERS) return [column];
  return data.labels.map((_, label) => label).filter((label) => !view.labels.includes(label));
}

function columnName(column) {
  return column === OTHERS ? "other classes" : predictedName(column);
}

/* A heading has room for so many letters; names often differ at their ends only. */
function shortened(text) {
  const letters = [...text];
  if (letters.length <= LONGEST) return text;
  return letters.slice(0, LONGEST / 2).join("") + "…" + letters.slice(1 - LONGEST / 2).join("");
}

function header(text, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.title = text;
  const name = document.createElement("span");
  name.textContent = shortened(text);
  cell.append(name);
  return cell;
}

function matrixCell(truth, column) {
  const cell = document.createElement("td");
  const shown = view.labels.reduce((sum, label) => sum + countOf(truth, label), countOf(truth, classes));
  const n = column === OTHERS ? data.support[truth] - shown : countOf(truth, column);
  const share = n / (data.support[truth] || 1);
  cell.tabIndex = -1;
  cell.setAttribute("role", "gridcell");
  cell.dataset.tip = `true ${apart(data.labels[truth])}, predicted ${columnName(column)}: ${plural(n, "video")}, ${percent(share)} of the class`;
  cell.setAttribute("aria-label", cell.dataset.tip);
  if (!n) return cell;
  cell.textContent = n;
  Object.assign(cell.dataset, { true: truth, column, count: n });
  cell.className = truth === column ? "right" : "wrong";
  cell.style.setProperty("--share", (12 + 88 * share).toFixed(0) + "%");
  return cell;
}

function drawMatrix() {
  const order = data.labels.map((_, label) => label).sort(ORDERS[document.getElementById("matrix-order").value]);
  view.labels = order.slice(view.start, view.start + WINDOW);
  view.columns = [...view.labels, ...(classes > WINDOW ? [OTHERS] : []), ...(failures ? [classes] : [])];
  const head = document.createElement("tr");
  head.append(header("true \\ predicted", "col"), ...view.columns.map((column) => header(columnName(column), "col")), header("accuracy", "col"));
  head.firstChild.firstChild.replaceWith("");
  const rows = view.labels.map((truth) => {
    const row = document.createElement("tr");
    row.append(header(data.labels[truth], "row"), ...view.columns.map((column) => matrixCell(truth, column)));
    const accuracy = row.insertCell();
    accuracy.className = "accuracy";
    accuracy.textContent = data.support[truth] ? percent(accuracyOf(truth)) : "no videos";
    return row;
  });
  const top = document.createElement("thead");
  const body = document.createElement("tbody");
  top.append(head);
  body.append(...rows);
  matrix.replaceChildren(top, body);
  matrix.classList.toggle("few", view.columns.length <= 12);
  const first = matrix.querySelector("[role=gridcell]");
  if (first) first.tabIndex = 0;
  document.getElementById("matrix-pages").hidden = classes <= WINDOW;
  document.getElementById("matrix-range").textContent = `classes ${view.start + 1} to ${view.start + view.labels.length} of ${classes}`;
  document.getElementById("matrix-back").disabled = view.start === 0;
  document.getElementById("matrix-on").disabled = view.start + WINDOW >= classes;
}

function turnPage(by) {
  const pressed = document.activeElement;
  view.start += by;
  drawMatrix();
  if (pressed.disabled) document.querySelector("#matrix-pages button:not(:disabled)").focus();
}

function openCell(cell) {
  const { true: truth, column, count } = cell.dataset;
  if (count) openVideos(Number(truth), predictedOf(Number(column)), Number(count));
}

function cellOf(event) {
  return event.target.closest("[role=gridcell]");
}

function moveFocus(cell, key) {
  const rows = [...matrix.tBodies[0].rows].map((row) => [...row.querySelectorAll("[role=gridcell]")]);
  const row = rows.findIndex((cells) => cells.includes(cell));
  const column = rows[row].indexOf(cell);
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -column], End: [0, rows[row].length - 1 - column] }[key];
  const next = (rows[row + down] || [])[column + right];
  if (!next) return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

matrix.addEventListener("pointermove", (event) => {
  const cell = cellOf(event);
  if (cell) showTip(cell.dataset.tip, event.clientX, event.clientY);
  else hideTip();
});
matrix.addEventListener("pointerleave", hideTip);
matrix.addEventListener("click", (event) => {
  const cell = cellOf(event);
  if (cell) openCell(cell);
});
matrix.addEventListener("keydown", (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  if (event.key === "Enter" || event.key === " ") openCell(cell);
  else if (/^(Arrow|Home$|End$)/.test(event.key)) moveFocus(cell, event.key);
  else return;
  event.preventDefault();
});
matrix.addEventListener("focusin", (event) => {
  const cell = cellOf(event);
  if (!cell || !cell.matches(":focus-visible")) return;
  const box = cell.getBoundingClientRect();
  showTip(cell.dataset.tip, box.left, box.bottom - 12);
});
matrix.addEventListener("focusout", hideTip);
document.getElementById("matrix-order").addEventListener("change", () => turnPage(-view.start));
document.getElementById("matrix-back").addEventListener("click", () => turnPage(-WINDOW));
document.getElementById("matrix-on").addEventListener("click", () => turnPage(WINDOW));
for (const button of document.querySelectorAll(".pairs button")) {
  const truth = Number(button.dataset.true);
  const predicted = Number(button.dataset.predicted);
  button.addEventListener("click", () => openVideos(truth, [predicted], countOf(truth, predicted)));
}
if (classes > WINDOW) document.getElementById("matrix-order").value = "errors";
drawMatrix();
