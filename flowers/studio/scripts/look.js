// The slider below the photos shows what the network said after any epoch; "replay" moves it.
let playing = null;
const stop = () => { clearInterval(playing); playing = null; };
const slider = () => element.querySelector("input[type=range]");

function show() {
  const told = JSON.parse(element.querySelector("[data-past]").dataset.past);
  const look = told.looks[slider().value - 1];
  element.querySelector(".at").textContent = look.epoch;
  element.querySelector(".accuracy").textContent = look.accuracy;
  element.querySelectorAll(".samples figure").forEach((figure, number) => {
    const [answer, sure] = look.answers[number];
    figure.className = answer === told.truth[number] ? "right" : "wrong";
    figure.querySelector(".answer").textContent = told.classes[answer];
    figure.querySelector(".sure").textContent = sure + " %";
    figure.querySelector(".meter span").style.width = sure + "%";
  });
  element.querySelectorAll("table.confusion tbody tr").forEach((row, label) => {
    if (!look.confusion.length) return;
    const counts = look.confusion[label], all = counts.reduce((a, b) => a + b, 0) || 1;
    row.querySelectorAll("td").forEach((cell, answer) => {
      cell.textContent = counts[answer] || "·";
      cell.style.setProperty("--share", Math.round(100 * counts[answer] / all) + "%");
    });
  });
}

element.addEventListener("input", () => { stop(); show(); });
element.addEventListener("click", event => {
  if (!event.target.closest("button.replay")) return;
  if (playing) return stop();
  slider().value = 1;
  show();
  playing = setInterval(() => {
    if (!slider() || +slider().value >= +slider().max) return stop();
    slider().value = +slider().value + 1;
    show();
  }, 700);
});
watch("value", stop);
