/* The list of videos in a dialog, and the gallery's motion. */
const MOST_LISTED = 200;
const classes = data.labels.length;
const dialog = document.getElementById("videos");

function predictedName(label) {
  return label === classes ? "(failed)" : apart(data.labels[label]);
}

function plural(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function videoItem(row) {
  const { name, truth, predicted, pPredicted, pTruth } = data.videos;
  const item = document.createElement("li");
  const film = document.querySelector(`.gallery .film[data-video="${row}"]`);
  if (film) item.append(film.cloneNode(true));
  const path = document.createElement("code");
  path.className = "path";
  path.append(document.createElement("bdi"));
  path.firstChild.textContent = name[row];
  item.append(path, document.createElement("br"));
  const guess = `${predictedName(predicted[row])} ${percent(pPredicted[row])}`;
  const answer = predicted[row] === truth[row] ? "" : `, is ${apart(data.labels[truth[row]])} ${percent(pTruth[row])}`;
  item.append(predicted[row] === classes ? "could not be read" : guess + answer);
  return item;
}

/* Opens the list of the videos of a class that were predicted as one of some others. */
function openVideos(truth, predicted, n) {
  const rows = [];
  data.videos.truth.forEach((label, row) => {
    if (label === truth && predicted.includes(data.videos.predicted[row])) rows.push(row);
  });
  const shown = rows.slice(0, MOST_LISTED);
  const guess = predicted.length === 1 ? predictedName(predicted[0]) : "other classes";
  document.getElementById("videos-title").textContent = `${apart(data.labels[truth])}, predicted ${guess}`;
  document.getElementById("videos-note").textContent =
    shown.length === n ? plural(n, "video") : `${shown.length} of ${plural(n, "video")}; predictions.csv has them all.`;
  dialog.querySelector(".videos").replaceChildren(...shown.map(videoItem));
  hideTip();
  dialog.showModal();
  dialog.scrollTop = 0;
}

dialog.addEventListener("click", (event) => {
  const box = dialog.getBoundingClientRect();
  const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (event.target === dialog && !inside) dialog.close();
});

const still = document.getElementById("still");
if (still) {
  still.addEventListener("click", () => {
    const stopped = document.body.classList.toggle("still");
    still.setAttribute("aria-pressed", String(stopped));
  });
}
