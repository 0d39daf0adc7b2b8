// A "?" beside every control of a hyperparameter, as soon as Gradio has drawn it, and the dialog that it opens.
(() => {
  const place = () => {
    for (const button of document.querySelectorAll("#knob-buttons > button")) {
      const name = button.dataset.knob;
      for (const block of document.querySelectorAll(`#knob-${name}, #augment-strength-${name}`)) {
        if (!block.querySelector(".knob-more")) block.append(button.cloneNode(true));
      }
    }
  };

  const open = async (name) => {
    const dialog = document.getElementById("knob-help");
    const body = dialog.querySelector(".body");
    body.replaceChildren();
    dialog.setAttribute("aria-busy", "true");
    dialog.showModal(); // keeps the focus inside, closes on Escape, and gives the focus back
    try {
      const answer = await fetch(`.${dialog.dataset.path}${name}`);
      if (!answer.ok) throw new Error(answer.status);
      body.innerHTML = await answer.text();
    } catch {
      body.replaceChildren(dialog.querySelector("template").content.cloneNode(true));
    }
    dialog.removeAttribute("aria-busy");
    dialog.scrollTop = 0;
  };

  document.addEventListener("click", (event) => {
    const asked = event.target.closest(".knob-more");
    if (asked) {
      event.preventDefault();
      open(asked.dataset.knob);
    } else if (event.target.closest("#knob-help .close") || event.target.id === "knob-help") {
      document.getElementById("knob-help").close(); // its own padding is none: a click on it is one beside the words
    }
  });
  onDrawn(place);
})();
